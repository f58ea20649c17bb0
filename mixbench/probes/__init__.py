"""Probes: what the states and embeddings of a model still tell of the tokens that it read."""

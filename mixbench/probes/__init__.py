"""Probes: what states and embeddings tell of the tokens, and what is found by embeddings alone."""

"""Probes: what embeddings hold and what can be found by them, measured by the paper's own protocols."""

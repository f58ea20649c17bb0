"""Interop: mteb and TREC's formats; plain structures in and out."""

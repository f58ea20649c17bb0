"""Experiments: the room that knows names and verbs, as the command line does."""

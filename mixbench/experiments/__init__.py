"""Experiments: the verbs, where names become tasks, models and files."""

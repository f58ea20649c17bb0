"""mteb, seen from here: its data, its models and its metrics. The only room that imports it."""

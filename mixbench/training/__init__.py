"""Training: an encoder, pairs and a configuration in; a model folder with its record out."""

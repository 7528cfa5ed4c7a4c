"""A multi-task ranker: will they watch it, and will they like it."""

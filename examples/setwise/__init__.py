"""A ranker whose candidates see one another: a request is scored as a set."""

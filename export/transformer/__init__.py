"""Graphs of BERT-like rankers, rewritten into the form that runs fastest on a CPU; any other graph is left alone."""

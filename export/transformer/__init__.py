"""Graphs of BERT-like rankers, rewritten into the form that a CPU runs best; any other is left alone."""

"""Ranking measures in plain numpy: order, nDCG, reciprocal rank, agreement, intervals.

Used by the server, export's gates, the load test and the examples. Rule: nothing of ours is imported here.
"""

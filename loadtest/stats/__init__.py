"""The statistics of a load test: verdicts, intervals, capacity, comparisons.

Rule: pure functions of arrays and counts; nothing here knows a request, a clock or a file.
"""

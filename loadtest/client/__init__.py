"""The sending side: one process per core, each with one event loop, its share of the schedule and its own
records.

Rule: no bytes are made and none but an answer's are read here; nothing waits for an answer before the next
send.
"""

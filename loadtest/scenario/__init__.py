"""What a load test is told: a scenario file, its published schema, and the scenarios that are shipped.

Rule: a scenario is data. Reading one touches neither the network nor the request set.
"""

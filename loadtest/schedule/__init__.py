"""When what is sent: the whole schedule, computed before the run. Pure and seeded.

Rule: the same scenario and seed give the same schedule, whatever target is asked and however many processes
send.
"""

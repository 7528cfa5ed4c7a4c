"""`podium loadtest` and `python -m loadtest`.

Exit codes: 0 pass, 1 fail (also: nothing could be measured), 2 usage, 3 invalid, 4 inconclusive or unstable,
130 interrupted (what was measured is kept). Rule: SciPy, gRPC and plotly are imported when a verb needs them.
"""

from loadtest.cli.app import main

__all__ = ["main"]

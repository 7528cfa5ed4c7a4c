"""`python -m podium`."""

import sys

from podium.cli import main

if __name__ == "__main__":  # a load test's client processes import this module again
    sys.exit(main())

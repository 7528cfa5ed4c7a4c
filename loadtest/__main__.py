"""`python -m loadtest`."""

import sys

from loadtest.cli import main

if __name__ == "__main__":  # a spawned client process imports this module again
    sys.exit(main())

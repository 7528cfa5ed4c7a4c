"""`python -m server`."""

from server.app import main

raise SystemExit(main())

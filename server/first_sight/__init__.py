"""A bundle that this server has never seen is checked, loaded and run in a child before it is opened here."""

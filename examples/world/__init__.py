"""A simulated listening world: what the movies example trains on where there is no real data."""

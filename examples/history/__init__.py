"""A ranker whose candidates attend to the user's history: keys and values once per request."""

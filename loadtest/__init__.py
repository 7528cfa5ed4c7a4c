"""The measuring instrument: open-loop load, latency from the intended instant, a verdict with its error."""

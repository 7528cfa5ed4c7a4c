"""Measurements as ratios in one run. Every figure in docs/measuring.md names its command."""

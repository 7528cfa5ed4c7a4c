"""Input sizes of the benchmark's model, apart from it so that the raw process need not import torch."""

ITEMS = 10_507
FEATURES = 136
HISTORY = 50

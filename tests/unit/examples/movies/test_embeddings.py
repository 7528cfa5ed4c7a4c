"""Where the item vectors start."""

from __future__ import annotations

import numpy as np
import torch

from examples.movies.embeddings import spectral
from examples.ratings import Ratings


def test_items_rated_together_point_the_same_way() -> None:
    """Items 1 and 2 share users, 3 and 4 share others: cosine 1 within, 0 across; item 5 has no vector."""
    user, item = np.array([1, 1, 2, 2, 3, 3, 4, 4]), np.array([1, 2, 1, 2, 3, 4, 3, 4])
    train = Ratings.in_order(user, item, np.ones(8), np.arange(8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vectors = spectral(train, np.bincount(item, minlength=6), width=2)
    unit = torch.nn.functional.normalize(vectors, dim=1)

    torch.testing.assert_close(
        unit[1:5] @ unit[1:5].T, torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)), atol=1e-5, rtol=0
    )
    assert torch.equal(torch.zeros(2), vectors[5])

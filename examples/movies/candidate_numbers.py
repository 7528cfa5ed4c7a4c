"""A candidate's numbers as a layer likes them: features on one scale, the prior spread evenly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.movies.features import COLUMNS

WIDTH = len(COLUMNS) + 1


class Numbers(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """float32 [N, WIDTH] of features and prior."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("scale", torch.ones(len(COLUMNS)))

    def forward(self, features: Tensor, prior: Tensor) -> Tensor:
        """Standardise.

        Args:
            features: float32 [N, 3], as in `features.COLUMNS`.
            prior: float32 [N], co-occurrence with the history; 0 = none given. A sum of cosines, mostly
                near 0.1 and at times above 5: hence its logarithm.
        """
        spread = torch.log(prior.clamp(min=0.0) * 20.0 + 1.0)[:, None]
        return torch.cat([(features - self.mean) * self.scale, spread], dim=1)

    def fit(self, features: Tensor) -> None:
        """Take mean and spread of `features` [M, 3] as the standard ones."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(1.0 / features.std(0).clamp(min=1e-6))

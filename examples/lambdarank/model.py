"""DCN-v2 over numeric features: a cross network and a deep network side by side.

Wang et al., "DCN V2: Improved Deep & Cross Network" (WWW 2021), the parallel structure of section 3.
This data has no context, so `context` has no inputs and no state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from examples.lambdarank.data import FEATURES

HEAD = "relevance"


class CrossLayer(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """x' = x0 * (W x + b) + x (equation 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        return first * self.linear(x) + x


class DeepCrossRanker(nn.Module):  # type: ignore[misc]
    """Scores documents [N, 300].

    Args:
        crosses: cross layers.
        hidden: width of the first deep layer; the second has half of it.
        dropout: while training, on the deep layers.
    """

    feature_scale: Tensor

    def __init__(self, crosses: int = 2, hidden: int = 256, dropout: float = 0.3) -> None:
        super().__init__()
        self.cross = nn.ModuleList(CrossLayer(FEATURES) for _ in range(crosses))
        self.deep = nn.Sequential(
            nn.Linear(FEATURES, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(FEATURES + hidden // 2, 1)
        self.register_buffer("feature_scale", torch.ones(FEATURES))

    def context(self) -> dict[str, Tensor]:
        """Nothing: a query of this data is known by its documents alone."""
        return {}

    def score(self, state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        """Score candidates.

        Args:
            state: empty.
            features: float32 [N, 300].

        Returns:
            relevance: float32 [N], higher is better.
        """
        first = features * self.feature_scale
        crossed = first
        for layer in self.cross:
            crossed = layer(first, crossed)
        return {HEAD: self.head(torch.cat([crossed, self.deep(first)], dim=1)).squeeze(1)}

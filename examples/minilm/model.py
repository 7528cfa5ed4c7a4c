"""MiniLM-L6 as a cross-encoder: BERT's six layers over query and title, a linear head on the first token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from examples.entities.model import Layer

HEAD = "relevance"
WIDTH, HEADS, LAYERS = 384, 12, 6
WORDS, PLACES = 30_522, 512
EPSILON = 1e-12
LENGTH = 32
"""Tokens of a pair; what does not fit is cut off the title."""


class MiniLm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Scores (query, title) pairs."""

    def __init__(self, dropout: float = 0.1, length: int = LENGTH) -> None:
        super().__init__()
        self.length = length
        self.word = nn.Embedding(WORDS, WIDTH)
        self.place = nn.Embedding(PLACES, WIDTH)
        self.side = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(WIDTH, HEADS, dropout, EPSILON) for _ in range(LAYERS)])
        self.logit = nn.Linear(WIDTH, 1)

    def context(self) -> dict[str, Tensor]:
        """Nothing is computed per request."""
        return {}

    def score(
        self, state: Mapping[str, Tensor], tokens: Tensor, sides: Tensor, tokens_length: Tensor
    ) -> dict[str, Tensor]:
        """One score per candidate, [N].

        Args:
            tokens, sides: int64 [N, length], padded on the right; sides 0 = query, 1 = title.
            tokens_length: int64 [N].
        """
        places = torch.arange(tokens.shape[1])
        valid = places < tokens_length[:, None]
        x = self.word(tokens) + self.side(sides) + self.place(places)
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, valid[:, None, None, :])
        return {HEAD: self.logit(x[:, 0]).squeeze(-1)}

"""A tiny cross-encoder: BERT's layers over query and title together, and the first stage's score beside them.

Nothing of a request is shared between its candidates, so `context` is empty: the query is read again beside
every title, which is what makes cross-encoders good and dear.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.entities.tokens import IDS, KINDS, LENGTH

HEAD = "relevance"
WIDTH, HEADS, LAYERS = 64, 4, 2
PRIOR_SCALE = 0.1
"""BM25 scores are around 10."""


class Layer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Self-attention and FFN, each with a residual and a LayerNorm behind, as in BERT."""

    def __init__(self, width: int, heads: int, dropout: float, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.attention_norm, self.ffn_norm = (nn.LayerNorm(width, eps=epsilon) for _ in range(2))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x float32 [N, S, H], valid bool [N, 1, 1, S] -> [N, S, H]."""
        count, length, width = x.shape
        q, k, v = (
            part(x).view(count, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=valid)
        mixed = mixed.transpose(1, 2).reshape(count, length, width)
        h = self.attention_norm(x + self.dropout(self.output(mixed)))
        return self.ffn_norm(h + self.dropout(self.down(functional.gelu(self.up(h)))))


class CrossEncoder(nn.Module):  # type: ignore[misc]
    """Scores (query, title) pairs."""

    def __init__(
        self, width: int = WIDTH, heads: int = HEADS, layers: int = LAYERS, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(IDS, width)
        self.kind = nn.Embedding(KINDS, width)
        self.place = nn.Embedding(LENGTH, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(width, heads, dropout) for _ in range(layers)])
        self.logit = nn.Linear(width, 1)
        self.prior_weight = nn.Parameter(torch.ones(()))
        nn.init.normal_(self.word.weight, std=0.3)
        nn.init.normal_(self.place.weight, std=0.1)
        nn.init.zeros_(self.logit.weight)  # begins as the prior's order

    def context(self) -> dict[str, Tensor]:
        """Nothing is computed per request."""
        return {}

    def score(
        self, state: Mapping[str, Tensor], tokens: Tensor, kinds: Tensor, tokens_length: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """One score per candidate, [N].

        Args:
            tokens, kinds: int64 [N, LENGTH]; tokens_length: int64 [N]; prior: BM25 on the title, float32 [N].
        """
        valid = torch.arange(tokens.shape[1]) < tokens_length[:, None]
        x = self.word(tokens) + self.kind(kinds) + self.place(torch.arange(tokens.shape[1]))
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, valid[:, None, None, :])
        scaled = self.prior_weight * PRIOR_SCALE * prior
        return {HEAD: self.logit(x[:, 0]).squeeze(-1) + scaled}

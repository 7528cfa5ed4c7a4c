"""Multi-head attention as the grid rankers of the examples write it: in matrix products, nothing hidden.

Rule: keys are transposed and split into heads by whoever makes them, so that it is done once per request.
"""

from __future__ import annotations

import torch
from torch import Tensor

MASKED_LOGIT = -1e4
"""Finite, so that softmax over nothing is no NaN; its exponential is exactly 0 beside any real logit."""


def split_queries(values: Tensor, heads: int) -> Tensor:
    """[B, C, heads * width] to [B, heads, C, width]; of values as well."""
    return values.unflatten(2, (heads, -1)).transpose(1, 2)


def split_keys(values: Tensor, heads: int) -> Tensor:
    """[B, L, heads * width] to [B, heads, width, L]."""
    return values.unflatten(2, (heads, -1)).permute(0, 2, 3, 1)


def merge(values: Tensor) -> Tensor:
    """[B, heads, C, width] to [B, C, heads * width]."""
    return values.transpose(1, 2).flatten(2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention.

    Args:
        queries: float32 [B, heads, C, width].
        keys: float32 [B, heads, width, L].
        values: float32 [B, heads, L, width].
        mask: float32 [B, 1, 1, L], 0 or MASKED_LOGIT.

    Returns:
        float32 [B, C, heads * width].
    """
    logits = torch.matmul(queries, keys) * queries.shape[3] ** -0.5 + mask
    return merge(torch.matmul(torch.softmax(logits, dim=-1), values))


def valid(length: Tensor, longest: int) -> Tensor:
    """float32 [R, L]: 1 at the first `length` [R] places, 0 at the padding behind them."""
    position = torch.arange(longest, device=length.device)
    return (position < length[:, None]).to(torch.float32)


def age(length: Tensor, longest: int) -> Tensor:
    """int64 [R, L]: 0 for the last valid place, 1 for the one before it; 0 at the padding."""
    position = torch.arange(longest, device=length.device)
    return (length[:, None] - 1 - position).clamp(min=0)

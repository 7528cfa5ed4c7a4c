"""A small cross-encoder with random weights: BERT's layers over token ids, a prior, a head that reads [CLS].

`CrossEncoder` writes attention out, or calls `scaled_dot_product_attention`; both are what people export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.spec import ExampleRequest, ExportSpec, candidate, prior

LENGTH = 12
WORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large, and which of the forms that cross-encoders come in."""

    length: int = LENGTH
    words: int = WORDS
    width: int = 64
    heads: int = 4
    layers: int = 2
    written_out: bool = False
    """Attention by hand, with an additive mask; else `scaled_dot_product_attention` with a boolean one."""
    pooled: bool = False
    """The head reads the mean of all tokens; else the first."""
    outlier: float = 1.0
    """Factor on one FFN neuron of every layer: trained BERTs have some such."""


class Layer(nn.Module):  # type: ignore[misc]
    """Self-attention and FFN, each with a residual and a LayerNorm behind (post-LN, as BERT)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.after_attention, self.after_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # [N, S, H], bool [N, S]
        h = self.after_attention(x + self.o(self.attend(x, valid)))
        f = functional.gelu(self.up(h))
        return self.after_ffn(h + self.down(f))

    def attend(self, x: Tensor, valid: Tensor) -> Tensor:
        count, length, width = x.shape
        heads = self.shape.heads
        q, k, v = (
            part(x).view(count, length, heads, width // heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        if self.shape.written_out:
            penalty = (1.0 - valid[:, None, None, :].float()) * -10_000.0
            scores = q @ k.transpose(-1, -2) / (width // heads) ** 0.5 + penalty
            mixed = torch.softmax(scores, dim=-1) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :])
        return mixed.transpose(1, 2).reshape(count, length, width)


class CrossEncoder(nn.Module):  # type: ignore[misc]
    """Tokens of query and title in one sequence, scored together; nothing is shared between candidates."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.word = nn.Embedding(shape.words, shape.width)
        self.place = nn.Embedding(shape.length, shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])
        self.head = nn.Linear(shape.width + 1, 1)

    def context(self) -> dict[str, Tensor]:
        """Nothing is computed per request."""
        return {}

    def score(
        self, state: Mapping[str, Tensor], tokens: Tensor, tokens_length: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """One score per candidate, [N], of token ids [N, S] and their valid lengths [N]."""
        valid = torch.arange(tokens.shape[1]) < tokens_length[:, None]
        x = self.norm(self.word(tokens) + self.place(torch.arange(tokens.shape[1])))
        for layer in self.layers:
            x = layer(x, valid)
        if self.shape.pooled:
            weight = valid.float()[:, :, None]
            read = (x * weight).sum(1) / weight.sum(1)
        else:
            read = x[:, 0]
        return {"score": self.head(torch.cat([read, prior[:, None]], dim=-1)).squeeze(-1)}


def model(shape: Shape) -> CrossEncoder:
    """The same weights every time."""
    torch.manual_seed(11)
    made = CrossEncoder(shape)
    with torch.no_grad():
        for layer in made.layers:
            layer.up.weight[7] *= shape.outlier
            layer.down.weight[:, 7] /= shape.outlier
    return made


def requests(count: int, seed: int, *, labelled: bool = False) -> list[ExampleRequest]:
    """Random requests of 1 to 12 candidates of 2 to LENGTH tokens each."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(1, 13))
        lengths = rng.integers(2, LENGTH + 1, size=n)
        tokens = rng.integers(1, WORDS, size=(n, LENGTH))
        tokens[np.arange(LENGTH) >= lengths[:, None]] = 0
        made.append(
            ExampleRequest(
                context={},
                candidates={"tokens": tokens, "tokens_length": lengths},
                prior_scores=rng.normal(size=n).astype(np.float32),
                labels=(rng.random(n) < 0.3).astype(np.float32) if labelled else None,
            )
        )
    return made


def spec(shape: Shape | None = None) -> ExportSpec:
    """The spec of `tests.export_specs.cross_encoder:spec`."""
    ranker = model(shape or Shape())
    return ExportSpec(
        name="cross_encoder",
        context=ranker.context,
        score=ranker.score,
        inputs=[
            candidate("tokens", "int64", LENGTH),
            candidate("tokens_length", "int64"),
            prior("prior", when_absent=0.0),
        ],
        requests=requests(300, seed=1, labelled=True),
        unlabelled=requests(750, seed=2),
        calibration=requests(60, seed=3),
        seed=11,
        data={"made": "numpy, seeds 1 to 3"},
    )

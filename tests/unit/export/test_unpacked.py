"""Models of PyTorch's own attention modules get every pass that hand-written ones get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.codec import Codec, Encoded
from export.quantize import OPERATOR, to_int8
from export.reference import Reference
from export.runtime import Runner, optimized_op_counts
from export.sites import find_sites
from export.spec import ExampleRequest, ExportSpec, candidate
from export.tracing import trace
from export.transformer.quantization import prepare
from export.transformer.rewrite import rewrite
from export.unpacked import unpacked

WORDS, WIDTH, HEADS, LAYERS, LENGTH = 60, 64, 4, 2, 12
ANY_SPEED = 1e9


@dataclass(frozen=True)
class Form:
    """How the encoder is written."""

    batch_first: bool = True
    norm_first: bool = False
    bias: bool = True
    padding: str = "bool"
    own_layers: bool = False
    nested: bool = False


FORMS = [
    Form(),
    Form(norm_first=True),
    Form(batch_first=False),
    Form(bias=False),
    Form(padding="float"),
    Form(own_layers=True),
    Form(nested=True),
]


class Attending(nn.Module):  # type: ignore[misc]
    """One layer around a bare `nn.MultiheadAttention`, called with its defaults: weights are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return self.norm(x + self.attention(x, x, x, key_padding_mask=padding)[0])


class Encoder(nn.Module):  # type: ignore[misc]
    """A cross-encoder of `nn.TransformerEncoder`; its head reads the first token."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.word = nn.Embedding(WORDS, WIDTH)
        if form.own_layers:
            self.layers = nn.ModuleList([Attending() for _ in range(LAYERS)])
        else:
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, 2 * WIDTH, activation="gelu",
                batch_first=form.batch_first, norm_first=form.norm_first, bias=form.bias,
            )  # fmt: skip
            self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=form.nested)
        self.head = nn.Linear(WIDTH, 1)

    def context(self) -> dict[str, Tensor]:
        return {}

    def score(self, state: Mapping[str, Tensor], tokens: Tensor, tokens_length: Tensor) -> dict[str, Tensor]:
        padding = torch.arange(tokens.shape[1]) >= tokens_length[:, None]
        if self.form.padding == "float":
            padding = torch.where(padding, -1e4, 0.0)
        x = self.word(tokens)
        if self.form.own_layers:
            for layer in self.layers:
                x = layer(x, padding)
        elif self.form.batch_first:
            x = self.encoder(x, src_key_padding_mask=padding)
        else:
            x = self.encoder(x.transpose(0, 1), src_key_padding_mask=padding).transpose(0, 1)
        return {"score": self.head(x[:, 0]).squeeze(-1)}


def spec_of(form: Form) -> ExportSpec:
    torch.manual_seed(3)
    model = Encoder(form).eval()
    rng = np.random.default_rng(3)

    def request() -> ExampleRequest:
        length = rng.integers(2, LENGTH + 1, size=10)
        tokens = rng.integers(1, WORDS, size=(10, LENGTH)) * (np.arange(LENGTH) < length[:, None])
        return ExampleRequest(context={}, candidates={"tokens": tokens, "tokens_length": length})

    return ExportSpec(
        name="encoder",
        context=model.context,
        score=model.score,
        inputs=[candidate("tokens", "int64", "S"), candidate("tokens_length", "int64")],
        axes={"S": LENGTH},
        lengths={"S": "tokens_length"},
        requests=[request() for _ in range(12)],
        calibration=[request() for _ in range(12)],
    )


def encoded(spec: ExportSpec, codec: Codec) -> list[Encoded]:
    return [codec.encode(request) for request in spec.requests]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_attention_is_found_and_scores_stay(form: Form) -> None:
    """As many `Attention` as layers, one query in the last one, PyTorch's scores, alone and in a batch."""
    spec = spec_of(form)
    codec = Codec(spec)
    requests = encoded(spec, codec)
    reference = Reference(spec, codec)
    exact = np.concatenate([reference.heads(one)["score"] for one in requests])
    traced = trace(spec, codec, requests[0])
    found = rewrite(traced, codec.feeds(requests), slowdown_max=ANY_SPEED)

    assert found is not None
    assert LAYERS == found.attentions
    if form.batch_first:
        assert 1 == found.one_query
    for model in (traced, found.model):
        got = Runner(model).run(codec.feeds(requests))["score"]
        assert np.abs(got - exact).max() < 1e-5


@pytest.mark.parametrize("form", [FORMS[0], FORMS[1]], ids=str)
def test_all_its_products_become_int8(form: Form) -> None:
    """q, k, v, output and the FFN's two of each layer; scores are near and do not drift."""
    spec = spec_of(form)
    codec = Codec(spec)
    requests = encoded(spec, codec)
    found = rewrite(trace(spec, codec, requests[0]), codec.feeds(requests), slowdown_max=ANY_SPEED)
    assert found is not None
    ready = prepare(found.model, codec, [codec.encode(one) for one in spec.calibration])
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    int8 = to_int8(ready.model, sites, ready.quantizations)
    exact = Runner(found.model).run(codec.feeds(requests))["score"]
    got = Runner(int8).run(codec.feeds(requests))["score"]

    assert 6 * LAYERS == optimized_op_counts(int8)[OPERATOR]
    assert np.abs(got - exact).max() < 0.2 * exact.std()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masks", ["none", "padding", "both", "heads"])
def test_the_other_form_computes_the_same(masks: str, batch_first: bool) -> None:
    """Output and weights, whatever is masked and asked for; afterwards the module is as it was."""
    torch.manual_seed(1)
    module = nn.MultiheadAttention(16, 2, batch_first=batch_first).eval()
    names = set(module.state_dict())
    x, y = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    if not batch_first:
        x, y = x.transpose(0, 1), y.transpose(0, 1)
    padding = torch.arange(7) >= torch.tensor([[7], [4], [2]])
    asked = {
        "none": {},
        "padding": {"key_padding_mask": padding},
        "both": {"key_padding_mask": padding, "attn_mask": torch.rand(5, 7) > 0.95},
        "heads": {"attn_mask": torch.rand(6, 5, 7)},
    }[masks]
    for more in ({}, {"average_attn_weights": False}, {"need_weights": False}):
        exact, exact_weights = module(x, y, y, **asked, **more)
        with unpacked(module):
            got, weights = module(x, y, y, **asked, **more)
        assert torch.allclose(exact, got, atol=1e-6)
        assert (weights is None) == (exact_weights is None)
        assert weights is None or torch.allclose(exact_weights, weights, atol=1e-6)
    assert names == set(module.state_dict())
    assert "forward" not in module.__dict__


def test_what_has_no_packed_projection_is_left() -> None:
    """Keys of another width, an added bias, a subclass with a forward of its own."""

    class Own(nn.MultiheadAttention):  # type: ignore[misc]
        def forward(self, *args: Tensor) -> Tensor:
            return args[0]

    for module in (
        nn.MultiheadAttention(16, 2, kdim=8, vdim=8),
        nn.MultiheadAttention(16, 2, add_bias_kv=True),
        Own(16, 2),
    ):
        with unpacked(module):
            assert "forward" not in module.__dict__

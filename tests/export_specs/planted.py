"""Rankers with one layer that int8 ruins: it reads values far from zero, all of them, so that one uint8 scale
has no steps left for their differences. A bias takes the shift out again: in fp32 nothing is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from export.codec import Codec, Encoded
from export.encoding import encode_all
from export.gates.evidence import Evidence
from export.reference import Reference
from export.spec import ExampleRequest, ExportSpec, candidate
from export.tracing import trace
from export.transformer.rewrite import rewrite
from tests.export_specs import cross_encoder

WIDTH = 64
SHIFT = 60.0
SHIFT_TRANSFORMER = 600.0
ANY_SPEED = 1e9


class Dense(nn.Module):  # type: ignore[misc]
    """Linear layers with a residual around each; the one at `PLANTED` reads h + SHIFT."""

    LAYERS = 4
    PLANTED = 2

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(self.LAYERS)])
        self.head = nn.Linear(WIDTH, 1)
        with torch.no_grad():
            bad = self.layers[self.PLANTED]
            bad.bias -= SHIFT * bad.weight.sum(dim=1)

    def context(self) -> dict[str, Tensor]:
        """Nothing is computed per request."""
        return {}

    def score(self, state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        """One score per candidate, [N], of [N, WIDTH]."""
        h = features
        for at, layer in enumerate(self.layers):
            h = torch.tanh(layer(h + SHIFT if at == self.PLANTED else h)) + 0.5 * h
        return {"score": self.head(h).squeeze(-1)}


@dataclass(frozen=True)
class Case:
    """A traced ranker, its evidence, and the name of the bad product."""

    graph: onnx.ModelProto
    evidence: Evidence
    calibration: list[Encoded]
    planted: str


def dense_spec() -> ExportSpec:
    """The spec of `tests.export_specs.planted:dense_spec`."""
    torch.manual_seed(5)
    ranker = Dense()
    return ExportSpec(
        name="planted",
        context=ranker.context,
        score=ranker.score,
        inputs=[candidate("features", "float32", WIDTH)],
        requests=_requests(300, seed=1, labelled=True),
        unlabelled=_requests(750, seed=2),
        calibration=_requests(60, seed=3),
        seed=5,
    )


def dense() -> Case:
    """Traced and scored."""
    spec = dense_spec()
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    graph = trace(spec, codec, evidence.requests[0])
    calibration = encode_all(codec, spec.calibration, "calibration")
    return Case(graph, evidence, calibration, _product_reading_shifted(graph))


def transformer() -> Case:
    """A cross-encoder whose hidden values of layer 0's FFN are all far up GELU's straight side, for the
    second product to shift back: nothing stands out that could be levelled or taken out, and no LayerNorm
    moves it.
    """
    spec = cross_encoder.spec(cross_encoder.Shape())
    ranker = spec.score.__self__  # type: ignore[attr-defined]
    layer = ranker.layers[0]
    with torch.no_grad():
        layer.up.bias += SHIFT_TRANSFORMER
        layer.down.bias -= SHIFT_TRANSFORMER * layer.down.weight.sum(dim=1)
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    traced = trace(spec, codec, evidence.requests[0])
    found = rewrite(traced, codec.feeds(evidence.requests[:8]), slowdown_max=ANY_SPEED)
    assert found is not None
    gemms = [node for node in found.model.graph.node if node.op_type == "Gemm"]
    down = next(node for node in gemms if _rows(found.model, node) == ranker.shape.width * 4)
    calibration = encode_all(codec, spec.calibration, "calibration")
    return Case(found.model, evidence, calibration, down.output[0])


def _rows(model: onnx.ModelProto, node: onnx.NodeProto) -> int:
    for entry in model.graph.initializer:
        if entry.name == node.input[1]:
            return int(entry.dims[0])
    return 0


def _product_reading_shifted(graph: onnx.ModelProto) -> str:
    """The product behind `h + SHIFT`."""
    products = [node for node in graph.graph.node if node.op_type in ("Gemm", "MatMul")]
    return str(products[Dense.PLANTED].output[0])


def _requests(count: int, seed: int, *, labelled: bool = False) -> list[ExampleRequest]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(2, 13))
        made.append(
            ExampleRequest(
                context={},
                candidates={"features": rng.normal(size=(n, WIDTH)).astype(np.float32)},
                labels=(rng.random(n) < 0.3).astype(np.float32) if labelled else None,
            )
        )
    return made

"""The tiny ranker with texts: candidates of unlike length, whose tokens are added to the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos import manifest as m
from protos.tensor import to_message
from tests.bundles.tiny import Example, Scores, TinyRanker, seal

LONGEST = 24


@dataclass(frozen=True, kw_only=True)
class Worded(TinyRanker):
    """As exact as the tiny ranker: a sum of small whole numbers rounds nothing, and padding adds 0."""

    name: str = "worded"
    variants: Sequence[str] = ("fp32",)
    requires: Sequence[str] = field(default_factory=lambda: ["vocab", "length_axis"])

    def tokens(self, example: Example) -> NDArray[np.int64]:
        """A text per candidate, int64 [N, S]: the item says how long it is, 1 to LONGEST; 0 pads."""
        lengths = example.items.astype(np.int64) % LONGEST + 1
        return (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)

    def scores(self, example: Example, variant: str = "") -> Scores:
        """What the graph gives, float32 [N]."""
        added = self.tokens(example).sum(axis=1).astype(np.float32)
        return np.asarray(super().scores(example, variant) + added, np.float32)

    def message(self, example: Example) -> pb.RankRequest:
        """The request on the wire."""
        request = super().message(example)
        request.candidates.columns.append(to_message("tokens", self.tokens(example)))
        return request

    def write(self, models: Path) -> Path:
        """Write the bundle under `models`; return its folder."""
        import onnx
        from onnx import TensorProto, helper

        path = super().write(models)
        file = path / "fp32" / "fused.onnx"
        model = onnx.load(file)
        model.graph.node[-1].output[0] = "without_words"
        model.graph.input.append(helper.make_tensor_value_info("tokens", TensorProto.INT64, ["N", "S"]))
        model.graph.node.extend(
            [
                helper.make_node("ReduceSum", ["tokens", "one"], ["words"], keepdims=0),
                helper.make_node("Cast", ["words"], ["worth"], to=TensorProto.FLOAT),
                helper.make_node("Add", ["without_words", "worth"], ["score"]),
            ]
        )
        onnx.save(model, file)
        seal(path, self.manifest())
        return path

    def manifest(self) -> m.Manifest:
        """The manifest, with no files listed yet."""
        manifest = super().manifest()
        manifest.axes["S"] = m.Axis(max=LONGEST, pad="right", lengths="tokens")
        manifest.cost_axes = ["N*S"]
        manifest.inputs.append(m.Input(name="tokens", role="candidate", dtype="int64", shape=["N", "S"]))
        return manifest


WORDED = Worded()

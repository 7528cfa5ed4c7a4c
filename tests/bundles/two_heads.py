"""The tiny ranker with a second head, as a bundle: `watch` is its score, `like` four times the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protos import manifest as m
from tests.bundles.tiny import Example, Scores, TinyRanker, seal, write_golden_scores

LIKE_OF_PRICE = 4.0


@dataclass(frozen=True, kw_only=True)
class TwoHeads(TinyRanker):
    """As exact as the tiny ranker: weights that are short binary fractions round nothing."""

    name: str = "two-heads"
    weights: tuple[float, float] = (1.0, 0.5)
    """Of `watch` and `like`."""
    variants: Sequence[str] = ("fp32",)

    def heads(self, example: Example) -> Mapping[str, Scores]:
        """What the graph gives, float32 [N] each."""
        return {
            "watch": super().scores(example),
            "like": np.asarray(example.price * np.float32(LIKE_OF_PRICE), np.float32),
        }

    def scores(self, example: Example, variant: str = "") -> Scores:
        """The bundle's own combination, float32 [N]."""
        return self.combined(example, self.weights)

    def combined(self, example: Example, weights: Sequence[float]) -> Scores:
        """The weighted sum of `watch` and `like`, float32 [N]."""
        watch, like = self.heads(example).values()
        return np.asarray(watch * np.float32(weights[0]) + like * np.float32(weights[1]), np.float32)

    def write(self, models: Path) -> Path:
        """Write the bundle under `models`; return its folder."""
        import onnx
        from onnx import TensorProto, helper

        path = super().write(models)
        file = path / "fp32" / "fused.onnx"
        model = onnx.load(file)
        factor = helper.make_tensor("like_of_price", TensorProto.FLOAT, [], [LIKE_OF_PRICE])
        model.graph.initializer.append(factor)
        model.graph.node.append(helper.make_node("Mul", ["price", "like_of_price"], ["like"]))
        model.graph.output.append(helper.make_tensor_value_info("like", TensorProto.FLOAT, ["N"]))
        onnx.save(model, file)
        golden = [self.example(rows, seed) for seed, rows in enumerate((1, 5, 32))]
        write_golden_scores(path, {"fp32": np.concatenate([self.scores(example) for example in golden])})
        seal(path, self.manifest())
        return path

    def manifest(self) -> m.Manifest:
        """The manifest, with no files listed yet."""
        manifest = super().manifest()
        manifest.outputs = [m.Output(name="score", head="watch"), m.Output(name="like", head="like")]
        manifest.combine = m.Combine(weights=dict(zip(("watch", "like"), self.weights, strict=True)))
        return manifest


TWO_HEADS = TwoHeads()

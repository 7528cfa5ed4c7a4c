"""A ranker small enough to know by heart, as a bundle: made without PyTorch, scored by numpy to the bit.

score = features · w + price + item table + 2 · prior + mean of the history's table + a bias that tells
versions and variants apart. Every term is a short binary fraction, so float32 rounds in one place only (the
mean), and a test may compare with `==`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from podium.v1 import ranking_pb2 as pb
from protos import manifest as m
from protos.request_set import write_labels, write_messages
from protos.tensor import to_message

Array = NDArray[Any]
Scores = NDArray[np.float32]

ROWS = 40
"""Rows of either table; row 0 is the unknown row."""
HISTORY_MAX = 4
WEIGHTS = np.array([0.5, -1.0, 2.0], np.float32)
VARIANT_BIAS: Mapping[str, float] = {"fp32": 0.0, "int8": 64.0}
WHEN_ABSENT = 0.5
"""Prior score that the graph sees when a request has none."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One request as a caller sees it.

    Attributes:
        history: ids, at most HISTORY_MAX.
        items: ids, int64 or str [N].
        features: float32 [N, 3].
        price: float32 [N]; a NaN leaves that candidate unscored.
        prior: float32 [N] or None.
    """

    history: Array
    items: Array
    features: Array
    price: Array
    prior: Array | None = None


@dataclass(frozen=True, kw_only=True)
class TinyRanker:
    """One version of the ranker; what differs between tests is a field."""

    name: str = "tiny"
    version: int = 1
    key: Literal["int64", "string"] = "int64"
    unknown: Literal["row", "invalid"] = "row"
    budget_ms: float = 2000.0
    candidates_max: int = 300
    variants: Sequence[str] = ("int8", "fp32")
    """The first is the default."""
    requires: Sequence[str] = field(default_factory=lambda: ["vocab"])
    chunkable: bool = False
    features_dtype: Literal["float32", "float16"] = "float32"
    """As sent, and as the graph takes them; it computes in float32."""

    @property
    def item_keys(self) -> Array:
        """Caller's ids in row order; deliberately not sorted."""
        numbers = (np.arange(ROWS, dtype=np.int64) * 17) % ROWS + 100
        return numbers if self.key == "int64" else np.array([f"item-{n}" for n in numbers])

    @property
    def history_keys(self) -> Array:
        return (np.arange(ROWS, dtype=np.int64) * 23) % ROWS + 1000

    def example(self, rows: int, seed: int = 0, *, prior: bool = True) -> Example:
        """A random request of `rows` candidates with known ids only."""
        rng = np.random.default_rng([seed, rows])
        return Example(
            history=rng.choice(self.history_keys[1:], rng.integers(0, HISTORY_MAX + 1)),
            items=rng.choice(self.item_keys[1:], rows),
            features=_fractions(rng, rows, 3),
            price=_fractions(rng, rows),
            prior=_fractions(rng, rows) if prior else None,
        )

    def scores(self, example: Example, variant: str = "") -> Scores:
        """What the graph gives, float32 [N]; an id outside the tables takes row 0."""
        table = _table()
        rows = len(example.items)
        prior = np.full(rows, WHEN_ABSENT, np.float32) if example.prior is None else example.prior
        history = table[_rows_of(self.history_keys, example.history)]
        mean = history.sum(dtype=np.float32) / np.float32(max(len(history), 1))
        features = example.features.astype(self.features_dtype).astype(np.float32)
        exact = features @ WEIGHTS + example.price + table[_rows_of(self.item_keys, example.items)]
        exact = exact + np.float32(2.0) * prior + np.float32(self._bias(variant or self.variants[0]))
        return np.asarray(exact + mean, np.float32)

    def message(self, example: Example) -> pb.RankRequest:
        """The request on the wire."""
        candidates = pb.Candidates(
            count=len(example.items),
            columns=[
                to_message("features", example.features.astype(self.features_dtype)),
                to_message("price", example.price),
            ],
        )
        if self.key == "int64":
            candidates.int_ids = example.items.astype(np.int64).tobytes()
        else:
            candidates.string_ids.extend(example.items.tolist())
        if example.prior is not None:
            candidates.prior_scores = example.prior.tobytes()
        context = [to_message("history", example.history.astype(np.int64))]
        return pb.RankRequest(model=self.name, context=context, candidates=candidates)

    def write(self, models: Path) -> Path:
        """Write the bundle under `models`; return its folder."""
        path = models / self.name / str(self.version)
        for folder in ("vocabs", "requests"):
            (path / folder).mkdir(parents=True)
        np.save(path / "vocabs/item.npy", self.item_keys)
        np.save(path / "vocabs/shelf.npy", self.history_keys)
        for variant in self.variants:
            (path / variant).mkdir()
            graph = _graph(self._bias(variant), half=self.features_dtype == "float16")
            (path / variant / "fused.onnx").write_bytes(graph)
        golden = [self.example(rows, seed) for seed, rows in enumerate((1, 5, 32))]
        messages = [self.message(example).SerializeToString() for example in golden]
        write_messages(path / "golden.podium", messages)
        write_golden_scores(
            path, {v: np.concatenate([self.scores(example, v) for example in golden]) for v in self.variants}
        )
        write_messages(path / "requests/eval.podium", messages)
        write_labels(path / "requests/labels.npz", [np.zeros(len(e.items), np.float32) for e in golden])
        seal(path, self.manifest())
        return path

    def manifest(self) -> m.Manifest:
        """The manifest, with no files listed yet."""
        return m.Manifest(
            format=m.Format(requires=list(self.requires)),
            model=self.name,
            version=self.version,
            created="2026-01-01T00:00:00Z",
            budget_ms=self.budget_ms,
            scoring=m.Scoring(chunkable=self.chunkable),
            axes={
                "R": m.Axis(max=64),
                "N": m.Axis(max=self.candidates_max),
                "L": m.Axis(max=HISTORY_MAX, pad="right"),
            },
            cost_axes=["N"],
            inputs=[
                m.Input(name="history", role="context", dtype="int64", shape=["R", "L"], vocab="shelf"),
                m.Input(
                    name="history_length", role="context_length", of="history", dtype="int64", shape=["R"]
                ),
                m.Input(name="item", role="candidate_id", dtype="int64", shape=["N"], vocab="item"),
                m.Input(name="features", role="candidate", dtype=self.features_dtype, shape=["N", 3]),
                m.Input(
                    name="price",
                    role="candidate",
                    dtype="float32",
                    shape=["N"],
                    non_finite="invalid_candidate",
                ),
                m.Input(
                    name="prior", role="prior_score", dtype="float32", shape=["N"], when_absent=WHEN_ABSENT
                ),
                m.Input(name="row_to_context", role="row_to_context", dtype="int64", shape=["N"]),
            ],
            vocabs={
                "item": m.Vocab(file="vocabs/item.npy", key=self.key, rows=ROWS, unknown=self.unknown),
                "shelf": m.Vocab(file="vocabs/shelf.npy", key="int64", rows=ROWS, unknown=self.unknown),
            },
            outputs=[m.Output(name="score", head="score")],
            combine=m.Combine(weights={"score": 1.0}),
            default_variant=self.variants[0],
            variants={
                v: m.Variant(
                    graphs={"fused": f"{v}/fused.onnx"}, providers=["CPUExecutionProvider"], quantization=v
                )
                for v in self.variants
            },
            golden=m.Golden(file="golden.npz", messages="golden.podium", requests=3, max_abs=1e-6),
            requests=m.RequestSet(file="requests/eval.podium", labels="requests/labels.npz", count=3),
            source={},
            files=[],
        )

    def _bias(self, variant: str) -> float:
        return VARIANT_BIAS[variant] + 256.0 * self.version


TINY = TinyRanker()
"""Unknown ids take row 0."""
STRICT = TinyRanker(name="strict", unknown="invalid")
"""Unknown ids make the request invalid."""
WORDS = TinyRanker(name="words", key="string")
"""Its items have string ids."""
HALVES = TinyRanker(name="halves", features_dtype="float16")
"""Its features are float16."""


def write_golden_scores(path: Path, scores: Mapping[str, Scores]) -> None:
    """Write what the exporter claims the golden requests score."""
    arrays: dict[str, Any] = {f"scores/{variant}": values for variant, values in scores.items()}
    np.savez(path / "golden.npz", **arrays)


def seal(path: Path, manifest: m.Manifest) -> None:
    """Write bundle.json with the size and hash of every file that lies in the folder now."""
    files = sorted(entry for entry in path.rglob("*") if entry.is_file() and entry.name != m.MANIFEST_FILE)
    manifest.files = [
        m.File(
            path=str(file.relative_to(path)),
            bytes=file.stat().st_size,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for file in files
    ]
    (path / m.MANIFEST_FILE).write_bytes(m.encode(manifest))


def _table() -> Scores:
    return np.random.default_rng(7).integers(-64, 64, ROWS).astype(np.float32) / np.float32(16)


def _rows_of(keys: Array, ids: Array) -> Array:
    rows = {key: row for row, key in enumerate(keys.tolist()) if row}
    return np.array([rows.get(identifier, 0) for identifier in ids.tolist()], np.int64)


def _fractions(rng: np.random.Generator, *shape: int) -> Scores:
    return rng.integers(-32, 32, shape).astype(np.float32) / np.float32(8)


def _graph(bias: float, *, half: bool) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Array) -> Any:
        return numpy_helper.from_array(value, name)

    def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
        return helper.make_node(op, inputs.split(), [output], **attributes)

    nodes = [
        node("Gather", "table history", "shelf"),
        node("Unsqueeze", "history_length one", "length"),
        node("Less", "positions length", "valid"),
        node("Where", "valid shelf zero", "masked"),
        node("ReduceSum", "masked one", "sum", keepdims=0),
        node("Max", "history_length one", "length_or_1"),
        node("Cast", "length_or_1", "divisor", to=TensorProto.FLOAT),
        node("Div", "sum divisor", "mean"),
        node("Gather", "mean row_to_context", "mean_of_row"),
        node("MatMul", "features_32 weights" if half else "features weights", "weighed"),
        node("Add", "weighed price", "a"),
        node("Gather", "table item", "item_score"),
        node("Add", "a item_score", "b"),
        node("Mul", "prior two", "doubled"),
        node("Add", "b doubled", "c"),
        node("Add", "c bias", "d"),
        node("Add", "d mean_of_row", "score"),
    ]
    if half:
        nodes.insert(0, node("Cast", "features", "features_32", to=TensorProto.FLOAT))
    real, whole = TensorProto.FLOAT, TensorProto.INT64
    inputs = [
        helper.make_tensor_value_info("history", whole, ["R", HISTORY_MAX]),
        helper.make_tensor_value_info("history_length", whole, ["R"]),
        helper.make_tensor_value_info("item", whole, ["N"]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT16 if half else real, ["N", 3]),
        helper.make_tensor_value_info("price", real, ["N"]),
        helper.make_tensor_value_info("prior", real, ["N"]),
        helper.make_tensor_value_info("row_to_context", whole, ["N"]),
    ]
    constants = [
        constant("table", _table()),
        constant("positions", np.arange(HISTORY_MAX, dtype=np.int64)),
        constant("one", np.array([1], np.int64)),
        constant("zero", np.array(0, np.float32)),
        constant("two", np.array(2, np.float32)),
        constant("weights", WEIGHTS),
        constant("bias", np.array(bias, np.float32)),
    ]
    graph = helper.make_graph(
        nodes, "tiny", inputs, [helper.make_tensor_value_info("score", real, ["N"])], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data

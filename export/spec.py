"""What a user writes to export a ranker: two functions, their inputs, and requests to judge them by.

The split into `context` and `score` is what makes *context once* hold by construction: Podium, not the user,
gathers each candidate's context row between the two, so nothing of the context can be computed per candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

from protos.manifest import NAME_PATTERN, DTypeName, NonFinitePolicy, Role

Array = NDArray[Any]
State = Mapping[str, Any]
"""Named torch tensors [R, ...]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One tensor of the graph. Made by `context`, `candidate`, `candidate_id` or `prior`, below."""

    name: str
    role: Role
    dtype: DTypeName
    shape: tuple[int | str, ...]
    vocab: str | None = None
    length: str | None = None
    columns: tuple[str, ...] = ()
    accepts: tuple[DTypeName, ...] = ()
    non_finite: NonFinitePolicy = "invalid_request"
    when_absent: float | None = None


def context(
    name: str,
    dtype: DTypeName,
    *axes: int | str,
    vocab: str | None = None,
    length: str | None = None,
    non_finite: NonFinitePolicy = "invalid_request",
) -> InputSpec:
    """A tensor sent once per request; the graph sees [R, *axes].

    A named axis is ragged: a request sends what it has, up to the axis' maximum, and Podium pads on the
    right.

    Args:
        name: the keyword of `ExportSpec.context` that receives it.
        dtype: of the graph's input, and of what callers send; a float16 reaches `context` as float32.
        axes: sizes after the batch axis; a name must be a key of `ExportSpec.axes`.
        vocab: the caller sends ids of this vocabulary; the graph sees embedding rows.
        length: also pass the valid length along the first of `axes` under this keyword, int64 [R].
        non_finite: what NaN or infinity means here.
    """
    return InputSpec(
        name=name,
        role="context",
        dtype=dtype,
        shape=("R", *axes),
        vocab=vocab,
        length=length,
        non_finite=non_finite,
    )


def candidate(
    name: str,
    dtype: DTypeName,
    *axes: int | str,
    columns: Sequence[str] = (),
    non_finite: NonFinitePolicy = "invalid_request",
) -> InputSpec:
    """A feature tensor of the candidates; the graph sees [N, *axes].

    Args:
        name: the keyword of `ExportSpec.score` that receives it.
        dtype: of the graph's input, and of what callers send. A float16 reaches `score` as float32: the graph
            casts it, so that only the bytes on the wire are halved.
        axes: sizes after the candidate axis; () is one value per candidate. The first may be the name of a
            length axis, a key of `ExportSpec.lengths`: tokens, padded on the right with 0.
        columns: names of the columns, for people.
        non_finite: what NaN or infinity means: `invalid_candidate` leaves only that candidate unscored.
    """
    return InputSpec(
        name=name,
        role="candidate",
        dtype=dtype,
        shape=("N", *axes),
        columns=tuple(columns),
        non_finite=non_finite,
    )


def candidate_id(name: str, *, vocab: str) -> InputSpec:
    """The candidates' ids: the caller sends ids of `vocab`, the graph sees embedding rows, int64 [N]."""
    return InputSpec(name=name, role="candidate_id", dtype="int64", shape=("N",), vocab=vocab)


def prior(name: str, *, when_absent: float) -> InputSpec:
    """The score the caller came with, float32 [N]; `when_absent` stands in when a request has none."""
    return InputSpec(name=name, role="prior_score", dtype="float32", shape=("N",), when_absent=when_absent)


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabSpec:
    """Caller's ids in embedding-row order.

    Attributes:
        keys: int64 or str array [rows]; entry i is the id of row i. The entry at `unknown_row` is not an id.
        unknown: an id outside the vocabulary takes `unknown_row` ("row") or invalidates the request
            ("invalid").
    """

    keys: Array
    unknown: Literal["row", "invalid"] = "row"
    unknown_row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What becomes, in the graph, of the number that `score` returns for a head.

    Attributes:
        activation: "sigmoid" takes it for a logit and makes it a probability.
        calibrate: first fit the logit's slope and intercept to the head's labels in `ExportSpec.calibration`.
    """

    activation: Literal["identity", "sigmoid"] = "identity"
    calibrate: bool = False

    def __post_init__(self) -> None:
        if self.calibrate and self.activation != "sigmoid":
            raise ValueError('OutputSpec: calibrate needs activation="sigmoid", which makes a probability')


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRequest:
    """One request as a caller would send it: caller's ids, unpadded, no batch axis.

    Attributes:
        context: name -> array without the batch axis.
        candidates: name -> array [N, ...] for every `candidate` and `candidate_id` input.
        prior_scores: float32 [N], higher is better; None = the order given is the prior.
        labels: graded relevance, float32 [N]; None = unlabelled (agreement gates only).
        head_labels: head -> what happened, float32 [N], 1 or 0, NaN where nobody knows. A ranker with one
            head may leave it out: `labels` are that head's.
        slices: names of groups that this request belongs to ("mobile", "question"); each is judged by itself.
    """

    context: Mapping[str, Array]
    candidates: Mapping[str, Array]
    prior_scores: Array | None = None
    labels: Array | None = None
    head_labels: Mapping[str, Array] = field(default_factory=dict)
    slices: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.slices, str) or not all(isinstance(name, str) and name for name in self.slices):
            raise ValueError(
                f"ExampleRequest.slices is {self.slices!r}: give a list of names, e.g. ['mobile']"
            )

    @property
    def count(self) -> int:
        """Number of candidates."""
        return len(next(iter(self.candidates.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """A ranker, ready to become a bundle.

    Attributes:
        name: the model's name, `[a-z][a-z0-9_-]{0,62}`.
        context: `fn(**context_inputs) -> {state: tensor [R, ...]}`; computed once per request.
        score: `fn(state, **candidate_inputs) -> {head: tensor [N]}`, where every state tensor has been
            gathered to [N, ...] (its row for that candidate). With `layout="grid"` it is
            `fn(state, grid, **candidate_inputs)`: states stay [R, ...], and `grid` (`export.grid.Grid`) leads
            from [N, ...] to [R, C, ...] and back.
        inputs: made with `context`, `candidate`, `candidate_id`, `prior`.
        requests: labelled requests, the evaluation set; written into the bundle as its request set.
        calibration: requests that set the int8 ranges; must be disjoint from `requests` (training data, say).
        heads: head -> weight in the combined score.
        outputs: head -> what becomes of its number; a head that is not named stays as `score` returns it.
        axes: maxima of named axes, e.g. {"L": 50}.
        lengths: a length axis of candidates -> the candidate input that tells each candidate's length: of
            shape [N] it holds the lengths, else (token ids, a mask) a row ends at its last value that is not
            0. `score` must mask what lies behind: the server runs candidates of like length together, each
            group only as wide as its longest.
        vocabs: vocabularies by name.
        unlabelled: more requests for the agreement gate, which wants at least 1,000.
        layout: "flat", or "grid" for what attends to a context or to other candidates: nothing of the context
            is copied to a candidate.
        kind: "pointwise": a score depends on its context and its candidate alone; "setwise": also on the
            request's other candidates. A setwise ranker needs the grid; it is never split and never cached.
        candidates_max: most candidates in one request.
        budget_ms: what the model promises at p99.
        seed, data: provenance, kept in the manifest.
    """

    name: str
    context: Callable[..., State]
    score: Callable[..., Mapping[str, Any]]
    inputs: Sequence[InputSpec]
    requests: Sequence[ExampleRequest]
    calibration: Sequence[ExampleRequest]
    heads: Mapping[str, float] = field(default_factory=lambda: {"score": 1.0})
    outputs: Mapping[str, OutputSpec] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)
    lengths: Mapping[str, str] = field(default_factory=dict)
    vocabs: Mapping[str, VocabSpec] = field(default_factory=dict)
    unlabelled: Sequence[ExampleRequest] = ()
    layout: Literal["flat", "grid"] = "flat"
    kind: Literal["pointwise", "setwise"] = "pointwise"
    candidates_max: int = 4096
    budget_ms: float = 25.0
    seed: int = 0
    data: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise ValueError(f"ExportSpec.name {self.name!r} does not match {NAME_PATTERN.pattern}")
        names = [entry.name for entry in self.inputs] + [e.length for e in self.inputs if e.length]
        if len(set(names)) != len(names):
            raise ValueError(f"ExportSpec.inputs repeats a name: {sorted(names)}")
        if not any(entry.role in ("candidate", "candidate_id") for entry in self.inputs):
            raise ValueError("ExportSpec.inputs has no candidate input")
        if not self.requests:
            raise ValueError("ExportSpec.requests is empty: the gates need requests to judge the model by")
        if not self.calibration:
            raise ValueError("ExportSpec.calibration is empty: int8 needs requests to set its ranges by")
        self._check_kind()
        for head in self.outputs:
            if head not in self.heads:
                raise ValueError(f"ExportSpec.outputs names head {head!r}, which ExportSpec.heads lacks")
        for entry in self.inputs:
            if entry.vocab is not None and entry.vocab not in self.vocabs:
                raise ValueError(
                    f"input {entry.name!r} names vocab {entry.vocab!r}, which ExportSpec.vocabs lacks"
                )
            for axis in entry.shape[1:]:
                if isinstance(axis, str) and axis not in self.axes:
                    raise ValueError(f"input {entry.name!r} names axis {axis!r}, which ExportSpec.axes lacks")
        self._check_lengths()

    def _check_lengths(self) -> None:
        if len(self.lengths) > 1:
            raise ValueError(
                "ExportSpec.lengths names more than one axis; a ranker has one length axis at most"
            )
        if self.lengths and self.layout == "grid":
            raise ValueError("ExportSpec.lengths is for flat layouts; the candidates of a grid are all alike")
        for axis, source in self.lengths.items():
            ends = [e for e in self.inputs if e.name == source and e.role == "candidate"]
            if not ends or ends[0].shape[1:] not in ((), (axis,)) or ends[0].dtype.startswith("float"):
                raise ValueError(
                    f"ExportSpec.lengths[{axis!r}] is {source!r}; it must name a candidate input of whole "
                    f"numbers, of shape [N] or [N, {axis!r}]"
                )
        for entry in self.inputs:
            for at, size in enumerate(entry.shape[1:]):
                named = isinstance(size, str) and entry.role == "candidate"
                if named and (at or size not in self.lengths):
                    raise ValueError(
                        f"input {entry.name!r}: axis {size!r} of a candidate must be its first and a key of "
                        "ExportSpec.lengths"
                    )
                if entry.role == "context" and size in self.lengths:
                    raise ValueError(f"input {entry.name!r}: axis {size!r} is the candidates' length axis")

    def _check_kind(self) -> None:
        if self.kind != "setwise":
            return
        if self.layout != "grid":
            raise ValueError(
                'ExportSpec.kind "setwise" needs layout="grid", where a request\'s candidates meet'
            )
        for entry in self.inputs:
            if entry.non_finite == "invalid_candidate":
                raise ValueError(
                    f"input {entry.name!r}: non_finite='invalid_candidate' leaves a candidate unscored, but "
                    "a setwise ranker would show it to the others: take 'invalid_request'"
                )

    def renamed(self, name: str) -> ExportSpec:
        """The same ranker under another name."""
        return replace(self, name=name)

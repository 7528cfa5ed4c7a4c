"""The bundle's manifest, `bundle.json`: what an exported model version says about itself.

Shared by export (which writes it) and server (which believes nothing that it did not check). An unknown
entry of `format.requires` refuses the bundle by name; other unknown keys are ignored, so that an older
server can read what a newer exporter adds.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

import msgspec

from podium.v1.tensor import DTypeName as DTypeName

FORMAT_NAME = "podium-bundle"
FORMAT_MAJOR = 1
FORMAT_MINOR = 0
MANIFEST_FILE = "bundle.json"

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""A model's name; also a folder name, a metric label and a health service name."""

Role = Literal[
    "context",
    "context_length",
    "candidate",
    "candidate_id",
    "candidate_length",
    "prior_score",
    "row_to_context",
    "grid_index",
    "grid_position",
    "tokens",
    "token_mask",
]
NonFinitePolicy = Literal["invalid_request", "invalid_candidate", "allow"]


class Format(msgspec.Struct, kw_only=True):
    name: str = FORMAT_NAME
    major: int = FORMAT_MAJOR
    minor: int = FORMAT_MINOR
    requires: list[str] = []
    """Features a server must know to serve this bundle; see `server.engine.bundle.KNOWN_FEATURES`."""


class Scoring(msgspec.Struct, kw_only=True):
    kind: Literal["pointwise", "setwise"] = "pointwise"
    layout: Literal["flat", "grid"] = "flat"
    chunkable: bool = False
    cacheable: bool = False
    non_finite_scores: Literal["refuse", "allow"] = "refuse"


class Axis(msgspec.Struct, kw_only=True, omit_defaults=True):
    max: int
    pad: Literal["right"] | None = None
    lengths: str | None = None
    """Of a length axis of candidates: the candidate input that tells how far along it a row reaches, by the
    rule of `protos.row_lengths`. Its inputs may be cut to any size that the longest row of a run needs."""
    buckets: list[int] = []
    """Sizes to pad to; empty = always pad to `max` (what keeps scores bitwise independent of batch-mates)."""


class Input(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    role: Role
    dtype: DTypeName
    shape: list[int | str]
    """Axis names or sizes, batch axis first: context ["R", ...], candidate ["N", ...]."""
    vocab: str | None = None
    of: str | None = None
    """context_length: the context input whose valid length along its second axis this is."""
    pad_value: float = 0
    accepts: list[DTypeName] = []
    """dtypes a request may send (the graph casts); empty = `dtype` only."""
    columns: list[str] = []
    non_finite: NonFinitePolicy = "invalid_request"
    when_absent: float | None = None
    from_catalog: bool = False


class Vocab(msgspec.Struct, kw_only=True):
    file: str
    """.npy: entry i is the caller's id of embedding row i; the entry at `unknown_row` is not an id."""
    key: Literal["int64", "string"]
    rows: int
    unknown: Literal["row", "invalid"] = "row"
    unknown_row: int = 0


class Calibration(msgspec.Struct, kw_only=True):
    """sigmoid(slope * logit + intercept), fitted at export. Part of the graph: a server has nothing to do."""

    method: Literal["platt"] = "platt"
    slope: float
    intercept: float
    requests: int
    candidates: int
    """That it was fitted on."""
    error_before: float
    error_after: float
    """Expected calibration error on the evaluation requests, without and with it."""


class Output(msgspec.Struct, kw_only=True):
    name: str
    head: str
    dtype: DTypeName = "float32"
    shape: list[int | str] = msgspec.field(default_factory=lambda: ["N"])
    activation: Literal["identity", "sigmoid"] = "identity"
    """What the graph has applied."""
    calibration: Calibration | None = None


class Combine(msgspec.Struct, kw_only=True):
    weights: dict[str, float]
    space: Literal["output"] = "output"
    """What is summed: the graph's outputs as they come, after activation and calibration."""


class BatchInvariance(msgspec.Struct, kw_only=True):
    bitwise: bool
    max_abs: float
    relative_to_std: float
    compositions: int


class Agreement(msgspec.Struct, kw_only=True):
    requests: int
    tau_mean: float
    top10_overlap_mean: float
    top10_overlap_p5: float
    top1_mean: float


class Quality(msgspec.Struct, kw_only=True):
    metric: str
    value: float
    reference: float
    delta_rel: float
    ci95: tuple[float, float]
    verdict: Literal["pass", "fail", "inconclusive"]
    requests: int
    requests_needed: int | None = None


class Variant(msgspec.Struct, kw_only=True, omit_defaults=True):
    graphs: dict[str, str]
    """`fused`, or `context` + `score`; values are paths inside the bundle."""
    providers: list[str]
    quantization: str
    cpu_needs: list[str] = []
    worth_serving: bool = True
    """False: slower than 1.05 × fp32's time, or an own gate said so; written, never the default."""
    batch_invariance: BatchInvariance | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    speedup_over_fp32: dict[str, float] = {}
    op_counts: dict[str, dict[str, int]] = {}
    depends_on_batch_mates: bool = False
    """A score depends on who else is in the run (dynamic int8): served only to callers who name the
    variant."""
    notes: list[str] = []
    """What must be said wherever the variant is shown, as `not run on a GPU`."""


class Golden(msgspec.Struct, kw_only=True):
    """Requests with the scores the exporter got, replayed on the serving host at every load.

    `messages` (framed like the request set) holds the requests; `file` (.npz) holds, per variant V,
    `scores/V`: float32, all candidates of all golden requests in order, each request run alone.
    """

    file: str
    messages: str
    requests: int
    max_abs: float
    order_exact: bool = True


class RequestSet(msgspec.Struct, kw_only=True):
    file: str
    labels: str
    count: int
    needed_to_serve: bool = False


class File(msgspec.Struct, kw_only=True):
    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, kw_only=True):
    format: Format
    model: str
    version: int
    created: str
    budget_ms: float
    scoring: Scoring
    axes: dict[str, Axis]
    cost_axes: list[str]
    """What a run's time is learned over, beside its fixed part: "R" requests, "N" candidates, or, in their
    place, "N*S": tokens along the length axis S."""
    inputs: list[Input]
    vocabs: dict[str, Vocab]
    outputs: list[Output]
    combine: Combine
    default_variant: str
    variants: dict[str, Variant]
    golden: Golden
    requests: RequestSet
    source: dict[str, Any]
    files: list[File]

    def input(self, name: str) -> Input:
        """Return the input called `name`; KeyError if there is none."""
        for entry in self.inputs:
            if entry.name == name:
                return entry
        raise KeyError(name)


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is not one, with the path of the offending key.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:  # ValidationError is one of these
        raise ValueError(f"{MANIFEST_FILE}: {error}") from error
    except RecursionError:
        raise ValueError(f"{MANIFEST_FILE}: nested too deeply; export the model again") from None
    if manifest.format.name != FORMAT_NAME or manifest.format.major != FORMAT_MAJOR:
        raise ValueError(
            f"{MANIFEST_FILE}: format {manifest.format.name} {manifest.format.major} is not "
            f"{FORMAT_NAME} {FORMAT_MAJOR}"
        )
    if not NAME_PATTERN.fullmatch(manifest.model):
        raise ValueError(f"{MANIFEST_FILE}: model {manifest.model!r} does not match {NAME_PATTERN.pattern}")
    if manifest.version < 1:
        raise ValueError(f"{MANIFEST_FILE}: version must be a positive integer, got {manifest.version}")
    if manifest.default_variant not in manifest.variants:
        raise ValueError(f"{MANIFEST_FILE}: default_variant {manifest.default_variant!r} is not a variant")
    return manifest


def digest(manifest: Manifest) -> str:
    """sha256 of the manifest, and so, by the hashes in it, of all that the bundle is made of."""
    return hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """Write a manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"

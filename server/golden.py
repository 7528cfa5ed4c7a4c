"""The golden requests of a bundle: decoded as those of callers are, and scored on this host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from measures.order import rank_order
from server.domain import RankingRequest
from server.engine.api import Engine
from server.engine.bundle import BadBundle, Bundle
from server.engine.tensors import Packer, split
from server.errors import Refused
from server.reply import combine
from server.wire import Decoder, parse


class GoldenMissed(BadBundle):
    """It runs on this host, and scores otherwise than where it was exported."""


def decode_golden(bundle: Bundle, decoder: Decoder) -> list[RankingRequest]:
    """Decode them all.

    Raises:
        BadBundle: one is not a request that this model takes.
    """
    file = bundle.manifest.golden.messages
    try:
        return [decoder.decode(parse(message)) for message in bundle.golden]
    except Refused as error:
        raise BadBundle(f"{file}: a golden request does not decode: {error}; export again") from error


def check_golden(
    bundle: Bundle, variant: str, golden: Sequence[RankingRequest], engine: Engine, packer: Packer
) -> None:
    """Score the golden requests on this host and compare with what the exporter got.

    Raises:
        GoldenMissed: a score or an order differs by more than the manifest allows.
        BadBundle: the golden scores do not fit the golden requests.
    """
    manifest = bundle.manifest
    expected = bundle.golden_scores[variant]
    at = 0
    for number, request in enumerate(golden):
        rows = request.payload.rows
        heads = split(engine.run(packer.pack([request.payload])), [rows])[0]
        scores = combine(heads, manifest.combine.weights)
        wanted = expected[at : at + rows]
        at += rows
        if scores.shape != (rows,):
            raise BadBundle(f"variant {variant!r} gives scores of shape {list(scores.shape)}, not [{rows}]")
        drift = float(np.abs(scores - wanted).max()) if wanted.shape == scores.shape else float("inf")
        if not drift <= manifest.golden.max_abs:
            raise GoldenMissed(
                f"variant {variant!r} missed golden request {number}: a score is off by {drift:.3g}, "
                f"allowed {manifest.golden.max_abs:.3g}"
            )
        same = np.array_equal(rank_order(scores, request.prior), rank_order(wanted, request.prior))
        if manifest.golden.order_exact and not same:
            raise GoldenMissed(f"variant {variant!r} missed golden request {number}: its order differs")
    if at != len(expected):
        raise BadBundle(f"golden scores of variant {variant!r} are {len(expected)}, of {at} candidates")

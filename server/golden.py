"""The golden requests of a bundle, decoded as those of callers are."""

from __future__ import annotations

from server.domain import RankingRequest
from server.engine.bundle import BadBundle, Bundle
from server.errors import Refused
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

"""What the end of a gRPC call over our HTTP/2 means, when it is not an answer."""

from __future__ import annotations

import base64
import contextlib
from typing import Final

from http2.client import Finished
from http2.headers import Headers
from loadtest.client.door import Ended, ended
from loadtest.records import FAILED

UNKNOWN: Final = 2
INTERNAL: Final = 13
_RESETS: Final = {8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
_CODES: Final = {"CANCELLED": 1, "RESOURCE_EXHAUSTED": 8, "PERMISSION_DENIED": 7}
"""HTTP/2's error codes as gRPC's "HTTP2 Transport Mapping" has them; every other one is INTERNAL."""


def meaning(found: Finished) -> Ended | None:
    """How a call ended; None = with the status OK."""
    if found.reset is not None:
        name = _RESETS.get(found.reset, "INTERNAL")
        return Ended(FAILED, name, _CODES.get(name, INTERNAL))
    status = found.trailers.get(b"grpc-status")
    if status is None:
        http = (found.head or found.trailers).get(b":status", b"no status").decode("ascii", "replace")
        return Ended(FAILED, f"HTTP_{http}", UNKNOWN)
    if status != b"0":
        return ended(int(status) if status.isdigit() else UNKNOWN, _metadata(found.trailers))
    return None


def _metadata(trailers: Headers) -> list[tuple[str, str | bytes]]:
    """As gRPC hands it out: text, and bytes under names that end in -bin."""
    said: list[tuple[str, str | bytes]] = []
    for name, value in trailers.items():
        key = name.decode("ascii", "replace")
        if key.endswith("-bin"):
            with contextlib.suppress(ValueError):
                said.append((key, base64.b64decode(value + b"=" * (-len(value) % 4))))
        else:
            said.append((key, value.decode("ascii", "replace")))
    return said

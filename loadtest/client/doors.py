"""Which door a scenario's transport means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loadtest.client.door import Door
from loadtest.client.grpcio import Grpcio
from loadtest.client.http2 import Http2
from loadtest.client.stream import Stream
from loadtest.scenario.form import Transport

_DOORS: Final[dict[Transport, Callable[[str, int], Door]]] = {
    "http2": Http2,
    "grpcio": Grpcio,
    "stream": Stream,
}


def make(transport: Transport, address: str, connections: int) -> Door:
    """A door to the server at `address`, not yet open; it belongs to the loop that runs now."""
    return _DOORS[transport](address, connections)

"""Which door a scenario's transport means."""

from __future__ import annotations

from loadtest.client.door import Door
from loadtest.client.grpcio import Grpcio
from loadtest.client.http2 import Http2
from loadtest.scenario.form import Transport


def make(transport: Transport, address: str, connections: int) -> Door:
    """A door to the server at `address`, not yet open; it belongs to the loop that runs now."""
    return Http2(address, connections) if transport == "http2" else Grpcio(address, connections)

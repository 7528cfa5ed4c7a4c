"""How a channel is made for one stream."""

from __future__ import annotations

from podium.client.channel import stream_options
from podium.client.stream.target import Address


def test_a_stream_has_a_connection_of_its_own() -> None:
    """Shared by nobody in the process: a new stream after a drain means a new connection."""
    assert (("grpc.use_local_subchannel_pool", 1),) == stream_options(Address("ipv4:10.0.0.1:80"))


def test_an_address_that_was_looked_up_answers_to_its_name() -> None:
    """The server and TLS see the name that the user wrote, not the address behind it."""
    options = stream_options(Address("ipv4:10.0.0.1:80", "ranker:80"))

    assert ("grpc.default_authority", "ranker:80") in options

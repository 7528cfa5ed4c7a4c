"""A stream client over TLS: the certificate is checked against the name that the user wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from podium.client import Ranked
from podium.v1 import ranking_pb2 as pb
from tests.e2e.scripted_stream import GREETING, Heard, Scripted, scripted
from tests.e2e.streaming import Via, awaited, blocking, refusal
from tests.system.tools import tool

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A key and a certificate for "localhost", signed by itself."""
    openssl = tool("openssl")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key.read_bytes(), certificate.read_bytes()


@pytest.fixture
def server(certificate: tuple[bytes, bytes]) -> Iterator[Scripted]:
    """Answers everything, over TLS."""

    def serve(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        yield from heard.serve()

    with scripted(serve, grpc.ssl_server_credentials([certificate])) as running:
        yield running


@pytest.mark.parametrize("via", [blocking, awaited])
def test_the_certificate_is_the_name_s(server: Scripted, certificate: tuple[bytes, bytes], via: Via) -> None:
    """By name the server is trusted, though the client dials the address; by another name it is not."""
    credentials = grpc.ssl_channel_credentials(certificate[1])
    with via(f"localhost:{server.port}", credentials=credentials) as client:
        assert isinstance(client.ask("a")[0], Ranked)
    with via(server.target, credentials=credentials) as client:
        refused = refusal(client.ask("b")[0])

    assert grpc.StatusCode.UNAVAILABLE == refused.code
    assert ["a"] == server.asked

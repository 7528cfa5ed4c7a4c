"""`podium health`: does a server, or one model of it, take requests? The probe of containers and scripts.

It runs every few seconds on the cores that rank, so it speaks to `grpc.health.v1` through our own HTTP/2
client and loads neither gRPC nor protobuf (docs/decisions.md has the numbers).
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from http2.client import Conversation, Finished
from http2.frames import ProtocolError
from http2.headers import encode

_PATH: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = 1
_STATES: Final = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
"""HealthCheckResponse.ServingStatus."""
_NAME_BYTES_MAX: Final = 127
"""A longer one would need a length of two bytes; no model's name is as long."""
_NOT_FOUND: Final = b"5"


class NoAnswer(Exception):
    """Nobody said how the server is. One sentence."""


def check(host: str, port: int, service: str, timeout_s: float) -> str:
    """Ask once.

    Args:
        service: "" = the server, `podium.v1.Ranker`, or `model/NAME`.

    Returns:
        A name of HealthCheckResponse.ServingStatus.

    Raises:
        NoAnswer: no connection, no answer in time, or one that is no health answer.
        ValueError: the service's name is too long.
    """
    name = service.encode()
    if len(name) > _NAME_BYTES_MAX:
        raise ValueError(f"a service's name has at most {_NAME_BYTES_MAX} bytes")
    message = bytes((0x0A, len(name))) + name if name else b""
    ended = _call(host, port, len(message).to_bytes(5, "big") + message, time.monotonic() + timeout_s)
    status = ended.trailers.get(b"grpc-status", ended.head.get(b"grpc-status", b""))
    if status == _NOT_FOUND:
        return _STATES[3]
    if status != b"0":
        raise NoAnswer(f"the health service ended with gRPC status {status.decode() or 'none'}")
    # Proto3 leaves a 0 out; the message has one field, an enum of one byte.
    answer = ended.data[5:]
    return _STATES.get(answer[1] if answer[:1] == b"\x08" and len(answer) > 1 else 0, _STATES[0])


def _call(host: str, port: int, message: bytes, deadline_s: float) -> Finished:
    """One unary call over a connection of its own."""
    block = encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", _PATH),
            (":authority", f"{host}:{port}"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
    )
    talk = Conversation()
    try:
        with socket.create_connection((host, port), timeout=_left(deadline_s)) as connection:
            connection.sendall(talk.begin() + talk.call("health", block, message))
            while True:
                connection.settimeout(_left(deadline_s))
                data = connection.recv(1 << 16)
                if not data:
                    raise NoAnswer("the server hung up")
                events, more = talk.receive(data)
                for event in events:
                    if isinstance(event, Finished):
                        return event
                if more:
                    connection.sendall(more)
    except TimeoutError as error:
        raise NoAnswer("no answer in time") from error
    except (OSError, ProtocolError) as error:
        raise NoAnswer(str(error)) from error


def _left(deadline_s: float) -> float:
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 = SERVING, 1 = anything else, with one word or sentence; 2 for usage."""
    parser = argparse.ArgumentParser(
        prog="podium health",
        description="Ask a server whether it takes requests; the exit code says.",
        epilog="example: podium health --target 127.0.0.1:50051 --model shop",
    )
    parser.add_argument("--target", default="127.0.0.1:50051", help="host:port of the gRPC port")
    parser.add_argument("--model", help="this model; without it the server as a whole")
    parser.add_argument("--timeout-s", type=float, default=1.0, help="give up after so long (default 1)")
    arguments = parser.parse_args(argv)
    host, _, port = arguments.target.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"--target {arguments.target}: expected host:port")
    service = f"model/{arguments.model}" if arguments.model else ""
    try:
        state = check(host.strip("[]"), int(port), service, arguments.timeout_s)
    except (NoAnswer, ValueError) as error:
        print(f"podium: {arguments.target}: {error}", file=sys.stderr)
        return 1
    print(state)
    return 0 if state == _STATES[_SERVING] else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""A ranker that does nothing: every request is answered at once, unread, with the same ready-made answer.

    python -m loadtest.null_server --candidates 100

What remains is the client, gRPC and the machine: the floor under every latency and the ceiling above every
rate
that a client here can measure. It prints one line, `null: serving on HOST:PORT`, and ends with its standard
input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import grpc
import numpy as np
import uvloop

from podium.v1 import ranking_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["Ranker"].full_name
READY = "null: serving on "


def answer(candidates: int) -> bytes:
    """A whole answer: the prior order with falling scores."""
    reply: bytes = pb.RankResponse(
        model="null",
        version=1,
        variant="null",
        step=pb.STEP_FULL,
        order=range(candidates),
        scores=np.arange(candidates, 0, -1, dtype="<f4").tobytes(),
        coverage=pb.Coverage(candidates=candidates, scored=candidates),
    ).SerializeToString()
    return reply


async def serve(candidates: int) -> None:
    """Serve until standard input ends."""
    reply = answer(candidates)

    async def rank(_: bytes, __: object) -> bytes:
        return reply

    server = grpc.aio.server()
    # Without serializers the messages stay bytes.
    handler = grpc.unary_unary_rpc_method_handler(rank)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Rank": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"{READY}127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(grace=None)


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.null_server")
    parser.add_argument("--candidates", type=int, default=100)
    uvloop.run(serve(parser.parse_args().candidates))


if __name__ == "__main__":
    main()

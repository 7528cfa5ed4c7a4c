"""How both clients connect, and what they call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Unpack

from google.protobuf import message as pb_message

from podium.client.encode import encode
from podium.client.request import RankingFields, RankingRequest
from podium.client.stream.target import Address
from podium.v1 import ranking_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["Ranker"].full_name
RANK: Final = f"/{_SERVICE}/Rank"
RANK_STREAM: Final = f"/{_SERVICE}/RankStream"
LIST_MODELS: Final = f"/{_SERVICE}/ListModels"

OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # Round robin, so that a retry meant for "elsewhere" goes to another replica; with one address it is the
    # same as gRPC's default. No retryPolicy in here, and none from DNS: with gRPC's and ours both at work,
    # one refusal could become four sends. gRPC's transparent retries stay on: they only re-send what no
    # server has seen (a connection that drained meanwhile).
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)


def stream_options(address: Address) -> tuple[tuple[str, Any], ...]:
    """What a channel for one stream needs beside OPTIONS."""
    # A connection of its own: whoever drains is left, and behind one address may be another server by now.
    alone = (("grpc.use_local_subchannel_pool", 1),)
    return (*alone, ("grpc.default_authority", address.authority)) if address.authority else alone


def message_of(request: RankingRequest | str, **fields: Unpack[RankingFields]) -> pb.RankRequest:
    """Encode a request, or a model's name and the request's fields; fields given override the request's.

    Raises:
        ValueError: it cannot be sent, see `podium.client.encode`.
    """
    if isinstance(request, str):
        return encode(RankingRequest(model=request, **fields))
    return encode(replace(request, **fields))


def parsed(message: bytes | pb.RankRequest) -> pb.RankRequest:
    """A copy of `message` that may be changed.

    Raises:
        ValueError: the bytes are not a RankRequest.
    """
    copy = pb.RankRequest()
    if isinstance(message, pb.RankRequest):
        copy.CopyFrom(message)
        return copy
    try:
        copy.ParseFromString(message)
    except pb_message.DecodeError as error:
        raise ValueError("the bytes are not a podium.v1.RankRequest") from error
    return copy

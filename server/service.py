"""The gRPC door: unary Rank, ListModels, health, reflection. The only place that knows an rpc object."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from server import status
from server.catalog import Catalog, RefusedVersion, ServedVersion
from server.config import Limits
from server.domain import Importance
from server.errors import Reason, Refusal, Refused
from server.ranking import Ranking

SERVICE = pb.DESCRIPTOR.services_by_name["Ranker"].full_name
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RankerService:
    """Bytes in, bytes out: we (de)serialise, so that decoding is timed, and refused in our words."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking

    def handlers(self) -> grpc.GenericRpcHandler:
        """Method handlers to register on a grpc.aio server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Rank": grpc.unary_unary_rpc_method_handler(self._rank),
                "ListModels": grpc.unary_unary_rpc_method_handler(
                    self._list_models,
                    request_deserializer=pb.ListModelsRequest.FromString,
                    response_serializer=pb.ListModelsResponse.SerializeToString,
                ),
            },
        )

    async def _rank(self, data: bytes, rpc: Any) -> bytes:
        remaining_s = rpc.time_remaining()
        try:
            response = await self._ranking.answer(data, remaining_s)
        except Refused as error:
            refused = status.of(error.refusal, remaining_s)
        else:
            payload: bytes = response.SerializeToString()
            return payload
        # Before any initial metadata: a trailers-only answer is what lets gRPC's own retries work.
        await rpc.abort(_CODES[refused.code], refused.message, refused.trailers)
        raise AssertionError("abort raises")

    async def _list_models(self, request: pb.ListModelsRequest, rpc: Any) -> pb.ListModelsResponse:
        catalog = self._ranking.catalog
        if catalog is None:
            refused = status.of(Refusal(Reason.MODEL_LOADING, "Models are loading.", "", 500))
            await rpc.abort(_CODES[refused.code], refused.message, refused.trailers)
        assert catalog is not None
        return list_models(catalog, request)


def list_models(catalog: Catalog, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
    """Describe every known version, or those of one model."""
    entries: list[pb.ModelVersion] = [
        _serving(served, request.with_manifest, is_default=number == max(versions))
        for versions in catalog.serving.values()
        for number, served in versions.items()
    ]
    entries += [_refused(refused) for refused in catalog.refused]
    kept = [entry for entry in entries if not request.model or entry.model == request.model]
    kept.sort(key=lambda entry: (entry.model, -entry.version))
    return pb.ListModelsResponse(models=kept)


def _serving(served: ServedVersion, with_manifest: bool, *, is_default: bool) -> pb.ModelVersion:
    manifest = served.bundle.manifest
    return pb.ModelVersion(
        model=manifest.model,
        version=manifest.version,
        state=pb.ModelVersion.STATE_SERVING,
        reason="; ".join(served.refused_variants.values()),
        is_default=is_default,
        variants=list(served.lanes),
        default_variant=served.default_variant,
        budget_us=served.budget_ns[Importance.DEFAULT] // 1000,
        manifest_json=manifests.encode(manifest) if with_manifest else b"",
    )


def _refused(refused: RefusedVersion) -> pb.ModelVersion:
    return pb.ModelVersion(
        model=refused.model,
        version=refused.version,
        state=pb.ModelVersion.STATE_REFUSED,
        reason=refused.reason,
    )


def build_server(service: RankerService, health: Health, limits: Limits) -> grpc.aio.Server:
    """A grpc.aio server with our doors; not yet bound to a port."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.message_bytes_max),
            ("grpc.max_send_message_length", limits.message_bytes_max),
            ("grpc.so_reuseport", 0),  # a port in use must be an error, not a second server beside the first
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ]
    )
    server.add_generic_rpc_handlers((service.handlers(),))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


class Health:
    """grpc.health.v1: readiness under "" and the service's name, each model under model/NAME.

    Overload never changes it: a busy server is a healthy one.
    """

    def __init__(self) -> None:
        self.servicer = health_aio.HealthServicer()

    async def loading(self) -> None:
        """Nothing serves yet."""
        for name in ("", SERVICE):
            await self.servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def loaded(self, catalog: Catalog) -> None:
        """Publish what the catalog serves."""
        serving = health_pb2.HealthCheckResponse.SERVING
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        ready = not catalog.missing()
        for name in ("", SERVICE):
            await self.servicer.set(name, serving if ready else not_serving)
        names = {*catalog.serving, *catalog.required, *(entry.model for entry in catalog.refused)}
        for name in names:
            await self.servicer.set(f"model/{name}", serving if catalog.serving.get(name) else not_serving)

    async def draining(self) -> None:
        """Everything NOT_SERVING, for good."""
        await self.servicer.enter_graceful_shutdown()

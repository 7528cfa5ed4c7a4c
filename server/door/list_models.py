"""ListModels: what is served, what was refused and why."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from server import status
from server.catalog import Catalog, RefusedVersion, ServedVersion
from server.domain import Importance
from server.door.call import Call, Method
from server.door.unary import unary
from server.errors import Reason, Refusal
from server.ranking import Ranking


def method(ranking: Ranking) -> Method:
    """The method."""

    def answer(data: bytes | memoryview, call: Call) -> None:
        if ranking.catalog is None:
            refused = status.of(Refusal(Reason.MODEL_LOADING, "Models are loading.", "", 500))
            call.fail(refused.code, refused.message, refused.trailers)
            return
        try:
            request = pb.ListModelsRequest.FromString(bytes(data))
        except DecodeError:
            sentence = "The message is not a podium.v1.ListModelsRequest."
            refused = status.of(Refusal(Reason.MALFORMED_REQUEST, sentence))
            call.fail(refused.code, refused.message, refused.trailers)
            return
        call.answer(list_models(ranking.catalog, request).SerializeToString())

    return unary(answer)


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

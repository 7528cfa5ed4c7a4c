"""grpc.health.v1: readiness under "" and the service's name, each model under model/NAME.

Overload never changes it: a busy server is a healthy one.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb

from podium.v1 import ranking_pb2
from server.catalog import Catalog
from server.door.call import Call, Handler, Method
from server.door.unary import unary
from server.errors import Code

RANKER: Final = ranking_pb2.DESCRIPTOR.services_by_name["Ranker"].full_name
SERVICE: Final = pb.DESCRIPTOR.services_by_name["Health"].full_name
_SERVING: Final = pb.HealthCheckResponse.SERVING
_NOT_SERVING: Final = pb.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = pb.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The statuses, and who watches them. Lives on the event loop."""

    def __init__(self) -> None:
        self._statuses = dict.fromkeys(("", RANKER), _NOT_SERVING)
        self._watches: set[_Watch] = set()
        self._final = False

    def methods(self) -> dict[str, Method]:
        """By path."""
        return {
            f"/{SERVICE}/Check": unary(self._check),
            f"/{SERVICE}/Watch": lambda call, _: _Watch(self, call),
        }

    def loaded(self, catalog: Catalog) -> None:
        """Publish what the catalog serves."""
        ready = not catalog.missing()
        found = dict.fromkeys(("", RANKER), _SERVING if ready else _NOT_SERVING)
        for name in {*catalog.serving, *catalog.required, *(entry.model for entry in catalog.refused)}:
            found[f"model/{name}"] = _SERVING if catalog.serving.get(name) else _NOT_SERVING
        self._set(found)

    def lost(self) -> None:
        """Everything NOT_SERVING, until `loaded` says otherwise."""
        self._set(dict.fromkeys(self._statuses, _NOT_SERVING))

    def draining(self) -> None:
        """Everything NOT_SERVING, for good."""
        self._set(dict.fromkeys(self._statuses, _NOT_SERVING))
        self._final = True

    def status(self, service: str) -> pb.HealthCheckResponse.ServingStatus | None:
        """Of one name; None if nobody has said anything of it."""
        return self._statuses.get(service)

    def watch(self, watch: _Watch) -> None:
        """Tell it of changes."""
        self._watches.add(watch)

    def unwatch(self, watch: _Watch) -> None:
        """No more."""
        self._watches.discard(watch)

    def _set(self, statuses: dict[str, pb.HealthCheckResponse.ServingStatus]) -> None:
        if not self._final:
            self._statuses.update(statuses)
            for watch in list(self._watches):
                watch.look()

    def _check(self, data: bytes | memoryview, call: Call) -> None:
        service = _service(data)
        found = None if service is None else self._statuses.get(service)
        if service is None:
            call.fail(Code.INVALID_ARGUMENT, "The message is not a grpc.health.v1.HealthCheckRequest.")
        elif found is None:
            call.fail(Code.NOT_FOUND, "No such service; models are known as model/NAME.")
        else:
            call.answer(pb.HealthCheckResponse(status=found).SerializeToString())


class _Watch(Handler):
    """One caller who wants to be told of every change."""

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call
        self._service: str | None = None
        self._told: pb.HealthCheckResponse.ServingStatus | None = None

    def message(self, data: bytes | memoryview) -> None:
        again, self._service = self._service is not None, _service(data)
        if again:
            self._end(Code.INTERNAL, "The method takes one message.")
        elif self._service is None:
            self._end(Code.INVALID_ARGUMENT, "The message is not a grpc.health.v1.HealthCheckRequest.")
        else:
            self._health.watch(self)
            self.look()

    def half_closed(self) -> None:
        """The question is asked; the answers go on."""
        if self._service is None:
            self._end(Code.INTERNAL, "The method takes one message; none came.")

    def gone(self) -> None:
        self._health.unwatch(self)

    def leaving(self) -> None:
        self._end(Code.UNAVAILABLE, "This server is shutting down.")

    def _end(self, code: Code, sentence: str) -> None:
        self._health.unwatch(self)
        self._call.fail(code, sentence)

    def look(self) -> None:
        """Tell the caller if there is news."""
        assert self._service is not None
        found = self._health.status(self._service)
        now = _UNKNOWN if found is None else found
        if now != self._told:
            self._told = now
            self._call.send(pb.HealthCheckResponse(status=now).SerializeToString())


def _service(data: bytes | memoryview) -> str | None:
    try:
        service: str = pb.HealthCheckRequest.FromString(bytes(data)).service
    except DecodeError:
        return None
    return service

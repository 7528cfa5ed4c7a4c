"""Whom a gRPC target names: addresses that stand in it, and host names to be looked up. Pure.

A channel of gRPC's own would choose a backend for each stream itself and hide which one it is. The stream
client wants one connection per backend, so it looks the names up and gives each channel one address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

TAKEN: Final = "host:port, a comma list of these, or one with dns:, ipv4:, ipv6: or unix: before it"


@dataclass(frozen=True, slots=True)
class Address:
    """One backend.

    Attributes:
        target: as gRPC takes it, with nothing left to look up: "ipv4:10.0.0.7:50051".
        authority: host:port as the user wrote it, to check the certificate against; "" = the target's.
    """

    target: str
    authority: str = ""

    def __str__(self) -> str:
        return self.target.split(":", 1)[1]


@dataclass(frozen=True, slots=True)
class Name:
    """A host name to be looked up."""

    host: str
    port: int

    def addresses(self, found: Iterable[tuple[Any, ...]]) -> list[Address]:
        """The backends behind it.

        Args:
            found: what `socket.getaddrinfo` returned for it.
        """
        authority = f"{self.host}:{self.port}"
        return [_ip(str(sockaddr[0]), int(sockaddr[1]), authority) for *_, sockaddr in found]


def parse(target: str) -> list[Address | Name]:
    """Read a target.

    Raises:
        ValueError: it is none that names its backends.
    """
    scheme, _, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return [Address(target)]
    if scheme == "dns":
        if rest.startswith("//") and not rest.startswith("///"):
            raise ValueError(f"target {target!r}: stream=True asks the system's resolver, and no other")
    elif scheme not in ("ipv4", "ipv6"):
        if "://" in target:
            raise ValueError(f"target {target!r}: stream=True takes {TAKEN}")
        rest = target
    parts = rest.removeprefix("//").removeprefix("/").split(",")
    return [_one(part.strip(), target) for part in parts]


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Each backend once, in the order of the first mention."""
    first: dict[str, Address] = {}
    for address in addresses:
        first.setdefault(address.target, address)
    return list(first.values())


def _one(text: str, target: str) -> Address | Name:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"target {target!r}: {text!r} is not host:port")
    host = host[1:-1] if bracketed else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return Name(host, int(port))
    return _ip(host, int(port), "")


def _ip(host: str, port: int, authority: str) -> Address:
    if ":" in host:
        zoned = host.replace("%", "%25")  # gRPC decodes what a URI would encode
        return Address(f"ipv6:[{zoned}]:{port}", authority)
    return Address(f"ipv4:{host}:{port}", authority)

"""Whom a target names."""

from __future__ import annotations

import socket

import pytest

from podium.client.stream.target import Address, Name, parse, unique


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("10.0.0.1:80", [Address("ipv4:10.0.0.1:80")]),
        ("[::1]:80", [Address("ipv6:[::1]:80")]),
        ("ipv4:10.0.0.1:80,10.0.0.2:81", [Address("ipv4:10.0.0.1:80"), Address("ipv4:10.0.0.2:81")]),
        ("ipv6:[::1]:80,[::2]:80", [Address("ipv6:[::1]:80"), Address("ipv6:[::2]:80")]),
        ("[fe80::1%eth0]:80", [Address("ipv6:[fe80::1%25eth0]:80")]),
        ("ranker:80", [Name("ranker", 80)]),
        ("dns:ranker:80", [Name("ranker", 80)]),
        ("dns:///ranker:80", [Name("ranker", 80)]),
        ("one:80, two:81", [Name("one", 80), Name("two", 81)]),
        ("one:80,10.0.0.1:81", [Name("one", 80), Address("ipv4:10.0.0.1:81")]),
        ("unix:/run/podium,1", [Address("unix:/run/podium,1")]),
        ("unix-abstract:podium", [Address("unix-abstract:podium")]),
    ],
)
def test_a_target_names_addresses_and_names(target: str, named: list[Address | Name]) -> None:
    """Every form that gRPC takes for known backends, and a comma list of names beside them."""
    assert named == parse(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ranker", "'ranker' is not host:port"),
        ("ranker:http", "'ranker:http' is not host:port"),
        ("ranker:0", "'ranker:0' is not host:port"),
        ("ranker:80,", "'' is not host:port"),
        ("::1:80", "'::1:80' is not host:port"),
        (":80", "':80' is not host:port"),
        ("dns://8.8.8.8/ranker:80", "asks the system's resolver"),
        ("xds:///ranker", "stream=True takes host:port"),
    ],
)
def test_others_are_refused_with_the_part_that_is_wrong(target: str, said: str) -> None:
    """A target that does not say where its backends are cannot have a stream to each."""
    with pytest.raises(ValueError) as caught:
        parse(target)

    assert repr(target) in str(caught.value)
    assert said in str(caught.value)


def test_a_name_is_every_address_behind_it() -> None:
    """Each A and AAAA record is a backend; the certificate is still checked against the name."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 80)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", 80, 0, 0)),
    ]

    assert [
        Address("ipv4:10.0.0.1:80", "ranker:80"),
        Address("ipv4:10.0.0.2:80", "ranker:80"),
        Address("ipv6:[fd00::1]:80", "ranker:80"),
    ] == Name("ranker", 80).addresses(found)


def test_a_backend_named_twice_is_one() -> None:
    """Two names for one address make one stream."""
    one, two = Address("ipv4:10.0.0.1:80", "a:80"), Address("ipv4:10.0.0.2:80", "a:80")

    assert [one, two] == unique([one, two, Address("ipv4:10.0.0.1:80", "b:80")])


def test_an_address_reads_as_host_and_port() -> None:
    """In messages the scheme is noise."""
    assert "10.0.0.1:80" == str(Address("ipv4:10.0.0.1:80"))
    assert "[::1]:80" == str(Address("ipv6:[::1]:80"))

"""Which addresses the guard forbids."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.core.notify.addresses import parse_networks, why_forbidden

FORBIDDEN = (
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "203.0.113.9",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001:0:5ef5:79fd::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1",
    "4000::1", "no address", "",
)  # fmt: skip
ALLOWED = ("1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8",
           "64:ff9b::808:808", "2002:808:808::1")  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str) -> None:
    assert why_forbidden(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_what_lies_in_the_internet_is_allowed(address: str) -> None:
    assert why_forbidden(address) is None


@given(st.ip_addresses(v=4))
def test_no_disguise_makes_an_address_allowed(plain: IPv4Address) -> None:
    number = int(plain)
    disguises = (
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    )
    for disguise in disguises:
        assert bool(why_forbidden(str(disguise))) == bool(why_forbidden(str(plain)))


def test_only_the_networks_an_operator_names_are_exempt() -> None:
    allowed = parse_networks("10.1.0.0/16, fd00:1::/32")
    assert why_forbidden("10.1.2.3", allowed) is None
    assert why_forbidden("::ffff:10.1.2.3", allowed) is None
    assert why_forbidden("fd00:1::5", allowed) is None
    assert why_forbidden("10.2.0.1", allowed)
    assert why_forbidden("fd00:2::5", allowed)
    with pytest.raises(ValueError, match="host bits"):
        parse_networks("10.1.2.3/16")

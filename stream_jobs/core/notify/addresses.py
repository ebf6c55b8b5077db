"""Which addresses nothing may be sent to: our own machine, private networks, metadata services.

Upstream: addresses that a name resolved to.
Downstream: ``stream_jobs.notify.outbound``.
Guarantee: an address that hides a forbidden one (v4-mapped, NAT64, 6to4, Teredo) is forbidden too; only networks that
the operator has named are exempt.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Explicit, because what Python calls global differs between its versions.
_FORBIDDEN: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier or a cloud"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a metadata service"),
        ("169.254.0.0/16", "link-local or a metadata service"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/96", "loopback or reserved"),
        ("64:ff9b:1::/48", "NAT64 of a private network"),
        ("100::/64", "reserved"),
        ("2001::/23", "reserved or a tunnel"),
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
        ("5f00::/16", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks with commas between them, for instance ``10.1.0.0/16, fd00::/8``.

    Raises:
        ValueError: one of them is no network.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks holds the address, or the IPv4 address that is mapped into it."""
    return any(one in network for one in (address, _mapped(address)) if one is not None for network in networks)


def why_forbidden(text: str, allowed: Sequence[Network] = ()) -> str | None:
    """Say why nothing may be sent to an address; None when it may.

    Args:
        text: the address as the resolver gave it.
        allowed: networks that the operator exempts.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "no address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    if is_within(address, allowed):
        return None
    for one in _hidden_in(address):
        for network, why in _FORBIDDEN:
            if one in network:
                return why
        if one.is_multicast or one.is_loopback or one.is_link_local or one.is_unspecified:
            return "reserved"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None and not _is_routed(address):
        return "reserved"
    return None


def _is_routed(address: IPv6Address) -> bool:
    """Only 2000::/3 and NAT64 lead out into the internet."""
    return address in IPv6Network("2000::/3") or address in _NAT64


def _mapped(address: Address) -> IPv4Address | None:
    return address.ipv4_mapped if isinstance(address, IPv6Address) else None


def _hidden_in(address: Address) -> list[Address]:
    """Return the address itself (a mapped one as IPv4) and the IPv4 address that a gateway would make of it."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    found: list[Address] = [address]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _6TO4 and address.sixtofour is not None:
        found.append(address.sixtofour)
    return found

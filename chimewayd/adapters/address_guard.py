"""Say which addresses we do not call on behalf of whoever wrote the recipient.

A recipient is somebody else's text. Without a guard it makes the daemon a client inside the
network: of a metadata service, of an admin page on loopback. What is judged is an address that
is about to be dialled and never a spelling of it, so no encoding and no second answer of a name
server comes past this.

    address ─▶ mapped, NAT64: the IPv4 inside ─▶ allowed by the channel? ─▶ in DENIED? ─▶ dialled

Source: the special-purpose registries of IANA (RFC 6890 and its updates), and what clouds add.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import unquote

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# Listed and not asked of `ipaddress.is_global`, which differs between releases of Python and
# says yes to multicast, 6to4, site-local addresses and the clouds' own.
_DENIED_TEXT = (
    ("169.254.169.254/32", "cloud metadata"),
    ("168.63.129.16/32", "cloud metadata"),
    ("100.100.100.200/32", "cloud metadata"),
    ("192.0.0.192/32", "cloud metadata"),
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private use"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private use"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private use"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("fd00:ec2::254/128", "cloud metadata"),
    ("fd20:ce::254/128", "cloud metadata"),
    ("::1/128", "loopback"),
    ("::/128", "this host"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard only"),
    ("100:0:0:1::/64", "dummy prefix"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private use"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
DENIED: Sequence[tuple[Network, str]] = tuple(
    (ip_network(network), name) for network, name in _DENIED_TEXT
)
"""What is not called unless a channel allows it; the first that holds an address names it."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_WELL_KNOWN_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFF_FFFF


class DestinationDenied(OSError):  # noqa: N818 - says what happened
    """An address that was about to be dialled is not allowed; the message says which and why."""


def check(address: str, allowed: Sequence[Network]) -> None:
    """Let an address pass, or refuse it; `allowed` is what the channel's settings open.

    Raises:
        DestinationDenied: it is internal, or it is no address.
    """
    try:
        dialled = ip_address(address)
    except ValueError:
        raise DestinationDenied("what was to be dialled is no IP address") from None
    reached = _reached(dialled)
    if any(one in network for network in allowed for one in (dialled, reached)):
        return
    for network, name in DENIED:
        if reached in network:
            raise DestinationDenied(f"{_spelt(dialled, reached)} is in {network} ({name})")
    if isinstance(reached, IPv6Address) and reached not in _GLOBAL_UNICAST:
        raise DestinationDenied(f"{dialled} is outside {_GLOBAL_UNICAST} (not assigned)")


def check_text(host: str, allowed: Sequence[Network]) -> None:
    """Judge a host that a proxy will look up: its text is all that can be seen from here.

    Raises:
        DestinationDenied: it is an internal address in any spelling, or a name of loopback.
    """
    name = unquote(host).rstrip(".").lower()  # a URL may spell a host in octets
    if name == "localhost" or name.endswith(".localhost"):
        check("127.0.0.1", allowed)
    try:
        address = str(ip_address(name))
    except ValueError:
        try:
            # Decimal, octal, hexadecimal and shortened forms, as whoever connects reads them.
            address = socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            return
    check(address, allowed)


def refuse_opening(network: Network) -> None:
    """Refuse an entry of an allow list that would open more than an internal network.

    Raises:
        ValueError: it lies in none of `DENIED`.
    """
    if not any(_is_within(network, denied) for denied, _ in DENIED):
        raise ValueError(
            f"{network} lies within no internal network: what is not internal is called anyway"
        )


def _is_within(network: Network, denied: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(denied, IPv4Network) and network.subnet_of(denied)
    return isinstance(denied, IPv6Network) and network.subnet_of(denied)


def _reached(dialled: Address) -> Address:
    """Unpack the forms of IPv6 that end at an IPv4 address whatever lies between."""
    if isinstance(dialled, IPv4Address):
        return dialled
    if dialled.ipv4_mapped is not None:
        return dialled.ipv4_mapped
    if dialled in _WELL_KNOWN_NAT64:
        return IPv4Address(int(dialled) & _LOW_32_BITS)
    return dialled


def _spelt(dialled: Address, reached: Address) -> str:
    return str(dialled) if dialled == reached else f"{dialled}, which is {reached},"

"""Which addresses are called: plain decisions against tables."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimewayd.adapters.address_guard import (
    DENIED,
    DestinationDenied,
    Network,
    check,
    refuse_opening,
)

INTERNAL = [
    ("0.0.0.0", "this host"),  # noqa: S104 - dialled, not bound
    ("0.255.255.255", "this host"),
    ("10.0.0.0", "private use"),
    ("10.255.255.255", "private use"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.100.100.200", "cloud metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("169.254.170.2", "link-local"),
    ("172.16.0.1", "private use"),
    ("172.31.255.255", "private use"),
    ("192.0.0.8", "protocol assignments"),
    ("192.0.0.192", "cloud metadata"),
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4 relays"),
    ("192.168.1.1", "private use"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.1", "benchmarks"),
    ("198.19.255.255", "benchmarks"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "this host"),
    ("::1", "loopback"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:7f00:1", "loopback"),
    ("::ffff:169.254.169.254", "cloud metadata"),
    ("::ffff:0:127.0.0.1", "not assigned"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a9fe:a9fe", "cloud metadata"),
    ("64:ff9b:1::10.0.0.1", "local NAT64"),
    ("100::1", "discard only"),
    ("100:0:0:1::1", "dummy prefix"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:10::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:a9fe:a9fe::1", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff::1", "documentation"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "private use"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd12:3456::1", "private use"),
    ("fe80::1", "link-local"),
    ("fe80::1%2", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("4000::1", "not assigned"),
    ("e000::1", "not assigned"),
]
PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "128.0.0.1",
    "168.63.129.15",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "192.169.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
]


def networks(*texts: str) -> Sequence[Network]:
    return [ip_network(text) for text in texts]


@pytest.mark.parametrize(("address", "name"), INTERNAL)
def test_internal_address_is_denied_by_its_name(address: str, name: str) -> None:
    with pytest.raises(DestinationDenied, match=rf"\(.*{name}.*\)$"):
        check(address, [])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_passes(address: str) -> None:
    check(address, [])


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "[::1]"])
def test_what_is_no_address_is_denied(text: str) -> None:
    with pytest.raises(DestinationDenied):
        check(text, networks("127.0.0.0/8", "::1/128"))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("169.254.169.254", "169.254.169.254/32"),
        ("::1", "::1/128"),
        ("fd12::1", "fd00::/8"),
        ("2002:7f00:1::", "2002:7f00::/32"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("64:ff9b::10.1.2.3", "10.1.0.0/16"),
    ],
)
def test_internal_address_passes_where_it_is_allowed(address: str, allowed: str) -> None:
    check(address, networks("192.168.7.0/24", allowed))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.2.0.1", "10.1.0.0/16"),
        ("::ffff:10.2.0.1", "10.1.0.0/16"),
        # Where 6to4 ends depends on whoever carries it: allowing the inside is not enough.
        ("2002:a01:203::1", "10.0.0.0/8"),
        ("::10.1.2.3", "10.0.0.0/8"),
        ("fe80::1", "fd00::/8"),
    ],
)
def test_allowed_network_opens_nothing_beside_it(address: str, allowed: str) -> None:
    with pytest.raises(DestinationDenied):
        check(address, networks(allowed))


@given(st.ip_addresses(v=4))
def test_packed_ipv4_address_is_judged_as_itself(address: IPv4Address) -> None:
    verdicts = set()
    for form in (f"{address}", f"::ffff:{address}", f"64:ff9b::{address}"):
        try:
            check(form, [])
        except DestinationDenied:
            verdicts.add("denied")
        else:
            verdicts.add("passes")

    assert len(verdicts) == 1


@given(st.sampled_from(DENIED), st.data())
def test_no_address_of_a_denied_network_passes(
    denied: tuple[Network, str], data: st.DataObject
) -> None:
    network = denied[0]
    address: IPv4Address | IPv6Address = data.draw(st.ip_addresses(network=str(network)))

    with pytest.raises(DestinationDenied):
        check(str(address), [])


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.1.2.3/32", "127.0.0.0/8", "fd00::/8", "::1"])
def test_internal_network_may_be_opened(text: str) -> None:
    refuse_opening(ip_network(text))


@pytest.mark.parametrize("text", ["0.0.0.0/0", "8.0.0.0/7", "1.1.1.1/32", "::/0", "2606::/16"])
def test_network_beyond_the_internal_ones_may_not_be_opened(text: str) -> None:
    with pytest.raises(ValueError, match="no internal network"):
        refuse_opening(ip_network(text))

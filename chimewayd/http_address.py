"""Where the HTTP endpoint listens: `127.0.0.1:9464`, `[::1]:9464`, or `unix:/run/chimewayd/http`.

A port alone, `9464` or `:9464`, is one of 127.0.0.1: who wants others to reach it says so.

Addresses and no host names: what a name resolves to may change, and with it who can reach us.
"""

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath

_NO_ADDRESS = "must be an address and a port, as in 127.0.0.1:9464, a port alone, or unix:/a/path"
_TCP = re.compile(r"(?:(?P<name>[^\[\]:]+)|\[(?P<bracketed>[^\[\]]+)\]):(?P<port>[0-9]{1,5})")
_PORT_ALONE = re.compile(r":?(?P<port>[0-9]{1,5})")
_LOOPBACK = IPv4Address("127.0.0.1")
_MOST_PORTS = 65_535
_LONGEST_PATH = 100
"""Source: unix(7), sun_path has 108 bytes; the number of a process must fit as well."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An address of a network interface."""

    host: IPv4Address | IPv6Address
    port: int
    """0: any that is free."""

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach it."""
        return not self.host.is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system; its folder says who may reach it."""

    path: str

    @property
    def is_public(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"unix:{self.path}"


HttpAddress = TcpAddress | UnixAddress


def parse(text: str) -> HttpAddress:
    """Read an address.

    Raises:
        ValueError: it is none; says why.
    """
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    if match := _PORT_ALONE.fullmatch(text):
        return TcpAddress(_LOOPBACK, _port(match["port"]))
    match = _TCP.fullmatch(text)
    if match is None:
        raise ValueError(_NO_ADDRESS)
    name = match["bracketed"] or match["name"]
    try:
        host = _LOOPBACK if name == "localhost" else ip_address(name)
    except ValueError:
        raise ValueError("must be an IP address or localhost, and no other host name") from None
    return TcpAddress(host, _port(match["port"]))


def _port(digits: str) -> int:
    port = int(digits)
    if port > _MOST_PORTS:
        raise ValueError(f"has a port above {_MOST_PORTS}")
    return port


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("must name a file by its whole path, as in unix:/run/chimewayd/http")
    if len(path.encode()) > _LONGEST_PATH:
        raise ValueError(f"has a path of more than {_LONGEST_PATH} bytes")
    return UnixAddress(path)


def of_member(address: HttpAddress, member: int) -> HttpAddress:
    """Return the address of one of several processes: the ports that follow, or `NAME-1` and so on.

    Raises:
        ValueError: there is no such port.
    """
    match address:
        case UnixAddress(path):
            whole = PurePosixPath(path)
            return UnixAddress(str(whole.with_name(f"{whole.stem}-{member}{whole.suffix}")))
        case TcpAddress(_, 0):
            return address
        case TcpAddress(_, port):
            if port + member - 1 > _MOST_PORTS:
                raise ValueError(f"leaves no port for process {member}")
            return replace(address, port=port + member - 1)

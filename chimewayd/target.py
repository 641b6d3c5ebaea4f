"""Where to connect, and how: what a DSN comes to."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address


class SessionAttrs(StrEnum):
    """Which servers will do: libpq's `target_session_attrs`."""

    ANY = "any"
    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    PRIMARY = "primary"
    STANDBY = "standby"
    PREFER_STANDBY = "prefer-standby"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server may be: a host, or the directory of its unix socket."""

    host: str
    port: int

    @property
    def is_near(self) -> bool:
        """Whether no network is on the way: a socket, or a loopback address by its usual name."""
        if self.host.startswith(("/", "@")) or self.host == "localhost":
            return True
        try:
            return ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How soon TCP gives a silent peer up; 0 leaves it to the system, which takes hours.

    The defaults end a connection seven seconds after the last sign of life, sooner than a
    statement's own deadline: a server that is only slow acknowledges what it gets.
    """

    keepalives: int = 1
    keepalives_idle: int = 3
    """Seconds of silence before the peer is asked."""
    keepalives_interval: int = 2
    """Seconds between questions."""
    keepalives_count: int = 2
    """Questions without an answer."""
    tcp_user_timeout: int = 7_000
    """Milliseconds that what was sent may stay unacknowledged: keepalives do not look at it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and how."""

    dsn: str = field(repr=False)
    """For asyncpg, which is told the host and the port beside it."""
    far_dsn: str = field(repr=False)
    """The same for a server on another machine, which must prove that it is the right one."""
    connect_timeout: float
    """Seconds, for each place."""
    dropped: tuple[str, ...]
    """Parameters of libpq that have no effect here, by name: worth a warning."""
    places: tuple[Place, ...] = ()
    session_attrs: SessionAttrs = SessionAttrs.ANY
    socket_options: SocketOptions = SocketOptions()

"""Who gets in to the HTTP endpoint, how many at a time, and for how long.

    connection ─▶ a place, the oldest one's if all are taken ─▶ one request ─▶ closed
                  └──────────────────── CONNECTION_SECONDS at most ─────────┘

Somebody who sends a header a byte at a time, or never reads the answer, holds a place for
seconds, and loses it to whoever comes next when places run out.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import assert_never

import anyio
from aiohttp.web_protocol import RequestHandler

from chimewayd.errors import ConfigError
from chimewayd.http_address import HttpAddress, TcpAddress, UnixAddress

CONNECTION_SECONDS = 10.0
CONNECTIONS = 32
LOOK_SECONDS = 1.0

SOCKET_UMASK = 0o117
"""Our user and group may connect, and nobody else."""


class Door:
    """Makes the protocol of each connection, and ends those that last too long."""

    def __init__(self, make: Callable[[], RequestHandler]) -> None:
        self._make = make
        self._places: dict[RequestHandler, float] = {}

    def __call__(self) -> RequestHandler:
        self._forget_closed()
        while len(self._places) >= CONNECTIONS:
            self._end(next(iter(self._places)))
        protocol = self._make()
        self._places[protocol] = anyio.current_time()
        return protocol

    async def keep_time(self) -> None:
        """End what is too old, for ever."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            self._forget_closed()
            limit = anyio.current_time() - CONNECTION_SECONDS
            for protocol in [one for one, since in self._places.items() if since < limit]:
                self._end(protocol)

    def _forget_closed(self) -> None:
        for protocol in [one for one in self._places if one.transport is None]:
            del self._places[protocol]

    def _end(self, protocol: RequestHandler) -> None:
        del self._places[protocol]
        if protocol.transport is not None:
            # Not `close`: that would wait for a reader who does not read.
            protocol.transport.abort()


def open_socket(address: HttpAddress) -> socket.socket:
    """Listen.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        match address:
            case TcpAddress(host, port):
                is_six = isinstance(host, IPv6Address)
                family = socket.AF_INET6 if is_six else socket.AF_INET
                return socket.create_server((str(host), port), family=family)
            case UnixAddress(path):
                return _open_unix(path)
            case _:
                assert_never(address)
    except OSError as error:
        raise ConfigError(
            "http_listen",
            f"cannot listen on {address}: {os.strerror(error.errno or 0)}",
            "an address that is free",
        ) from error


def _open_unix(path: str) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX)
    try:
        _remove_if_dead(path)
        before = os.umask(SOCKET_UMASK)
        try:
            opened.bind(path)
        finally:
            os.umask(before)
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def remove_socket(path: str) -> None:
    """Remove what `open_socket` made in the file system."""
    Path(path).unlink(missing_ok=True)


def _remove_if_dead(path: str) -> None:
    """Remove the socket of a process that is gone; one that answers is somebody's."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
        probe.settimeout(LOOK_SECONDS)
        probe.connect(path)
        return
    remove_socket(path)

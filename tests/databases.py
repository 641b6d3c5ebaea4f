"""Choose the Postgres that the tests use, and make databases in it.

CHIMEWAYD_TEST_PG=auto|dsn|docker|embedded chooses the server; `auto`, the default, takes the first
that can be had. A choice that cannot be met ends the run: it never skips a test.
CHIMEWAYD_TEST_DSN is the server of `dsn`: a superuser's.
CHIMEWAYD_TEST_PG_VERSION is the major version of the other two.
"""

import importlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from urllib.parse import urlsplit

import asyncpg

from chimewayd import embedded

CHOICE = "CHIMEWAYD_TEST_PG"
DSN = "CHIMEWAYD_TEST_DSN"
VERSION = "CHIMEWAYD_TEST_PG_VERSION"
DOCKER_SOCKET = "unix:///var/run/docker.sock"
DOCKER_ANSWER_SECONDS = 0.5
DOCKER_VERSION = 18
SETTINGS = {"max_connections": "200"}


class Source(StrEnum):
    """Where the tests' server comes from."""

    DSN = "dsn"
    DOCKER = "docker"
    EMBEDDED = "embedded"


class ChoiceError(Exception):
    """The server that was asked for cannot be had."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """The tests' server: its administrator's DSN, and where it comes from."""

    dsn: str
    source: Source


def choose(environment: Mapping[str, str], docker_answers: Callable[[str], bool]) -> Source:
    """Decide which server the tests use.

    Raises:
        ChoiceError: the choice is unknown, or was forced and cannot be met.
    """
    wanted = environment.get(CHOICE, "auto")
    has_dsn = bool(environment.get(DSN))
    docker = environment.get("DOCKER_HOST") or DOCKER_SOCKET
    match wanted:
        case "auto" if has_dsn:
            return Source.DSN
        case "auto":
            return Source.DOCKER if docker_answers(docker) else Source.EMBEDDED
        case Source.DSN if not has_dsn:
            raise ChoiceError(f"{CHOICE}=dsn, but {DSN} is not set")
        case Source.DOCKER if not docker_answers(docker):
            raise ChoiceError(
                f"{CHOICE}=docker, but no engine answers at {docker} (DOCKER_HOST) "
                f"within {DOCKER_ANSWER_SECONDS} s"
            )
        case Source.DSN | Source.DOCKER | Source.EMBEDDED:
            return Source(wanted)
        case _:
            allowed = ", ".join(["auto", *Source])
            raise ChoiceError(f"{CHOICE}={wanted}: unknown; allowed: {allowed}")


def wanted_version(environment: Mapping[str, str]) -> int | None:
    """Return the major version that was asked for, if any.

    Raises:
        ChoiceError: it is not a number.
    """
    text = environment.get(VERSION, "")
    if text and not text.isdecimal():
        raise ChoiceError(f"{VERSION}={text}: not a major version; allowed: 16, 18, …")
    return int(text) if text else None


def docker_answers(host: str) -> bool:
    """Ask the engine at a DOCKER_HOST for a sign of life; importing its client costs far more."""
    parts = urlsplit(host)
    is_unix = parts.scheme == "unix"
    address = parts.path if is_unix else (parts.hostname or "", parts.port or 2375)
    try:
        with socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET) as engine:
            engine.settimeout(DOCKER_ANSWER_SECONDS)
            engine.connect(address)
            if not is_unix:
                return True  # it may want TLS before it talks
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in engine.recv(64)
    except OSError:
        return False


@contextmanager
def running(source: Source, environment: Mapping[str, str]) -> Iterator[Postgres]:
    """Run the chosen server, or pass on the one that runs already."""
    version = wanted_version(environment)
    match source:
        case Source.DSN:
            yield Postgres(environment[DSN], source)
        case Source.DOCKER:
            with _container(version or DOCKER_VERSION) as dsn:
                yield Postgres(dsn, source)
        case Source.EMBEDDED:
            with embedded.server(settings=SETTINGS, version=version) as server:
                yield Postgres(server.dsn, source)
        case _:
            assert_never(source)


@contextmanager
def _container(version: int) -> Iterator[str]:
    try:
        module = importlib.import_module("testcontainers.community.postgres")
    except ImportError:  # older releases; in newer ones this name is deprecated
        module = importlib.import_module("testcontainers.postgres")
    container = module.PostgresContainer(f"postgres:{version}-alpine", driver=None)
    settings = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    with container.with_command(f"postgres -c fsync=off {settings}"):
        yield container.get_connection_url()


def with_database(dsn: str, name: str) -> str:
    """Return the DSN of another database of the same server."""
    parts = urlsplit(dsn)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


@asynccontextmanager
async def database(dsn: str, template: str | None = None) -> AsyncIterator[str]:
    """Make a database with a name of its own, yield the name, and drop it.

    A clone copies the template's files, which is three times as fast as writing them to the WAL.
    """
    name = f"chimewayd_test_{secrets.token_hex(6)}"
    origin = f" template {template} strategy file_copy" if template else ""
    await _administer(dsn, f"create database {name}{origin}")
    try:
        yield name
    finally:
        await _administer(dsn, f"drop database {name} with (force)")


async def _administer(dsn: str, statement: str) -> None:
    # A connection for each statement: the test in between may restart the server.
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

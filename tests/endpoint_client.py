"""Asks a running daemon's HTTP endpoint, as a scraper or a probe does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from running import Daemon

ANY_PORT = "127.0.0.1:0"
TIMEOUT = aiohttp.ClientTimeout(total=10)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    text: str
    headers: Mapping[str, str]


async def address_of(daemon: Daemon) -> str:
    """Return where the daemon listens, as it logged it."""
    [line, *_] = await daemon.said("http_listening")
    return str(line["address"])


@asynccontextmanager
async def client(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client of an address, as the setting is written."""
    is_unix = address.startswith("unix:")
    connector = aiohttp.UnixConnector(address.removeprefix("unix:")) if is_unix else None
    base = "http://localhost" if is_unix else f"http://{address}"
    async with aiohttp.ClientSession(base, connector=connector, timeout=TIMEOUT) as session:
        yield session


async def ask(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Answer:
    """Make one request."""
    async with (
        client(address) as session,
        session.request(method, path, headers=headers) as response,
    ):
        return Answer(response.status, await response.text(), response.headers)


async def scrape(address: str) -> Samples:
    """Return the samples of /metrics by name and labels, read by Prometheus' own parser."""
    page = await ask(address, "/metrics")
    assert page.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: Any) -> float | None:
    """Return one sample; None: there is none."""
    return samples.get((name, frozenset(labels.items())))

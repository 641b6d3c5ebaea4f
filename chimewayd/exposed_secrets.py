"""Secrets where every user of the host can read them: in open files, in the list of processes.

A warning and no refusal: containers mount files as they like, and are alone with them.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from chimewayd import config_layers
from chimewayd.config import Settings
from chimewayd.log import Event
from chimewayd.redaction import is_secret_name, redact_text

_DSNS = frozenset({"dsn", "listen_dsn"})
"""Secret only where a password stands in them."""

log = structlog.get_logger()


def warn(
    config_file: Path | None, given_dsn: str | None, environment: Mapping[str, str] = os.environ
) -> None:
    """Name each file of the settings that is exposed, and the command line.

    Raises:
        ConfigError: a source cannot be read.
    """
    if given_dsn is not None and _holds_secret(given_dsn):
        log.warning(
            Event.SECRETS_EXPOSED,
            file="the command line",
            danger="every user of this host can read the password of --dsn in a list of processes",
            remedy="CHIMEWAYD_DSN, a file, or ~/.pgpass",
        )
    for file in exposed(config_file, environment):
        log.warning(
            Event.SECRETS_EXPOSED,
            file=str(file),
            danger="every user of this host can read the secrets in it",
            remedy="chmod o-r",
        )


def exposed(config_file: Path | None, environment: Mapping[str, str]) -> Iterator[Path]:
    """Find the files of the settings that hold a secret and that anybody can read."""
    for layer in config_layers.collect(Settings, config_file, environment, {}):
        if layer.file is not None and _holds_secret(layer.values) and _is_open(layer.file):
            yield layer.file


def _holds_secret(value: object, name: str = "") -> bool:
    match value:
        case Mapping():
            return any(_holds_secret(inner, str(key)) for key, inner in value.items())
        case list():
            return any(_holds_secret(inner) for inner in value)
        case str():
            return (is_secret_name(name) and name not in _DSNS) or redact_text(value) != value
        case _:
            return False


def _is_open(file: Path) -> bool:
    """Whether others may read it, and come to it: a closed directory is enough."""
    resolved = file.resolve()
    return bool(resolved.stat().st_mode & stat.S_IROTH) and all(
        parent.stat().st_mode & stat.S_IXOTH for parent in resolved.parents
    )

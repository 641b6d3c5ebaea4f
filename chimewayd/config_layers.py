"""Where settings come from, as layers that know their source.

    command line > CHIMEWAYD_* > $CREDENTIALS_DIRECTORY > TOML file > defaults

pydantic-settings reads one variable at a time here, because it ignores a misspelt variable
without a word, and says of a wrong one neither its name nor where it came from.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from chimewayd.errors import ConfigError

PREFIX = "CHIMEWAYD_"
DEFAULT_CONFIG_FILE = Path("/etc/chimewayd/config.toml")

Place = tuple[str | int, ...]

_NOT_SETTINGS = ("CHIMEWAYD_CONFIG", "CHIMEWAYD_FAILPOINTS", "CHIMEWAYD_PROCESSES")
_NOT_SETTINGS_PREFIX = "CHIMEWAYD_TEST_"


@dataclass(frozen=True, slots=True)
class Layer:
    """Values as they were written, nested by name, and the source to name in errors."""

    source: str
    values: Mapping[str, Any]
    file: Path | None = None
    """Where they were read, if in a file."""


def collect(
    settings: type[BaseSettings],
    config_file: Path | None,
    environment: Mapping[str, str],
    overrides: Mapping[str, object],
) -> list[Layer]:
    """Read every layer but the defaults, the strongest first.

    Raises:
        ConfigError: A source cannot be read.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    found = [Layer("command line", given), *from_environment(settings, environment)]
    if directory := environment.get("CREDENTIALS_DIRECTORY"):
        found += from_credentials(settings, Path(directory))
    if config_file is None and (named := environment.get("CHIMEWAYD_CONFIG")):
        config_file = Path(named)
    path = config_file or DEFAULT_CONFIG_FILE
    return [*found, from_file(path, may_be_missing=config_file is None)]


def from_environment(settings: type[BaseSettings], environment: Mapping[str, str]) -> list[Layer]:
    """Read each CHIMEWAYD_* variable; one that fits no setting stays, to be refused by name."""
    reader = EnvSettingsSource(settings)
    return [
        Layer(f"environment variable {name}", _nest(reader, name, text, "environment"))
        for name, text in environment.items()
        if name.upper().startswith(PREFIX)
        and name.upper() not in _NOT_SETTINGS
        and not name.upper().startswith(_NOT_SETTINGS_PREFIX)
    ]


def from_credentials(settings: type[BaseSettings], directory: Path) -> list[Layer]:
    """Read the files named like a setting (`dsn`, `channels__email__settings__password`).

    In small letters or in capitals, as in a variable. Other files are left alone: a unit may keep
    its keys and certificates there too.
    """
    reader = EnvSettingsSource(settings)
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigError(
            "CREDENTIALS_DIRECTORY", f"cannot be read: {error.strerror}", source=str(directory)
        ) from error
    known = settings.model_fields
    paths = [path for path in paths if path.name.partition("__")[0].lower() in known]
    return [
        Layer(str(path), _nest(reader, PREFIX + path.name, _credential(path), str(path)), path)
        for path in paths
    ]


def _credential(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigError(path.name, problem, source=str(path)) from error
    except UnicodeDecodeError:
        raise ConfigError(path.name, "is not UTF-8 text", source=str(path)) from None


def from_file(path: Path, *, may_be_missing: bool) -> Layer:
    """Read a TOML file.

    Raises:
        ConfigError: It cannot be read or is no TOML; names the file, the line and the column.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        if may_be_missing:
            return Layer(str(path), {})
        raise _bad_file(path, "does not exist", "the path of a TOML file") from error
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise _bad_file(path, problem, "the path of a TOML file") from error
    text = _decode(path, data)
    try:
        return Layer(str(path), tomllib.loads(text), path)
    except ValueError as error:
        problem = str(error).replace("at end of document", _end_of(text))
        raise _bad_file(path, f"is not valid TOML: {problem}") from None
    except RecursionError:
        raise _bad_file(path, "is nested too deeply") from None


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[Place, str]]:
    """Join layers, the first winning, and say for each place which source it came from."""
    values: dict[str, Any] = {}
    sources: dict[Place, str] = {}
    for layer in reversed(list(layers)):
        _merge(values, layer.values, (), layer.source, sources)
    return values, sources


def source_of(place: Place, sources: Mapping[Place, str]) -> str | None:
    """Find where a place, or else the nearest table around it, was written."""
    for length in range(len(place), 0, -1):
        near = place[:length]
        if near in sources:
            return sources[near]
        if within := [source for at, source in sources.items() if at[:length] == near]:
            return within[-1]
    return None


def _merge(
    into: dict[str, Any],
    values: Mapping[str, Any],
    above: Place,
    source: str,
    sources: dict[Place, str],
) -> None:
    for key, value in values.items():
        place = (*above, key)
        if isinstance(value, Mapping):
            if not isinstance(into.get(key), dict):
                into[key] = {}
                sources[place] = source
            _merge(into[key], value, place, source, sources)
        else:
            into[key] = value
            sources[place] = source


def _nest(reader: EnvSettingsSource, name: str, text: str, source: str) -> dict[str, Any]:
    reader.env_vars = {name.lower(): text}
    try:
        values = reader()
    except SettingsError:
        raise ConfigError(name, "is not valid JSON", "JSON", source) from None
    return values or {name.lower().removeprefix(PREFIX.lower()): text}


def _decode(path: Path, data: bytes) -> str:
    if not data.strip():
        raise _bad_file(path, "is empty", "at least a comment, where defaults are meant")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise _bad_file(path, "is UTF-16 or binary", "UTF-8 text")
    if data.startswith(b"\xef\xbb\xbf"):
        raise _bad_file(path, "begins with a byte order mark", "UTF-8 text without one")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _bad_file(path, f"is not UTF-8 (at line {line}, column {column})") from None


def _end_of(text: str) -> str:
    lines = text.splitlines()
    return f"at line {len(lines)}, column {len(lines[-1]) + 1}, where the file ends"


def _bad_file(path: Path, problem: str, allowed: str | None = None) -> ConfigError:
    return ConfigError(f"config file {path}", problem, allowed)

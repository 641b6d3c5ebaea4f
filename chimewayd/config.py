"""The settings: one class, one default each, and no start with a wrong one.

Layers and their order are drawn in `config_layers`. Names are the same everywhere:
`channels.email.retry.base` in TOML is `CHIMEWAYD_CHANNELS__EMAIL__RETRY__BASE`.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chimewayd import config_layers as layers
from chimewayd.config_channel import ChannelConfig
from chimewayd.config_errors import explain, setting_name, unknown_setting
from chimewayd.config_types import (
    HTTP_LISTEN_FORM,
    ChannelName,
    HttpListen,
    LogFormat,
    LogLevel,
    Whole,
)
from chimewayd.durations import Duration, render
from chimewayd.errors import ConfigError, wrong

LEASE_MARGIN = timedelta(seconds=5)
"""How much longer than a call its lease lasts, so that its outcome can still be recorded."""

SHORTEST_TOKEN = 16
"""Characters of a token that nobody guesses."""


class Settings(BaseSettings):
    """All of it. `load` reads the sources; made directly, it reads nothing but its arguments."""

    model_config = SettingsConfigDict(
        env_prefix=layers.PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    dsn: SecretStr = Field(
        default=SecretStr("postgresql://"),
        description="The database; what it leaves out comes from PGHOST, PGSERVICE and the like.",
    )
    listen_dsn: SecretStr | None = Field(
        default=None,
        description="A direct connection for LISTEN where dsn is a pooler; unset: dsn.",
        json_schema_extra={"example": '"postgresql://db.example.org/app"'},
    )
    name: str = Field(
        default_factory=lambda: (
            re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:63] or "chimewayd"
        ),
        pattern=r"^[A-Za-z0-9._-]{1,63}$",
        description="This daemon's name, unique in its database; unset: the host's name.",
        json_schema_extra={"allowed": "1 to 63 of A-Z a-z 0-9 . _ -", "example": '"mail-1"'},
    )
    concurrency: Whole = Field(
        default=100, ge=1, le=10_000, description="Calls at one time, all channels together."
    )
    payload_budget_mib: Whole = Field(
        default=64,
        ge=1,
        le=65_536,
        description="Payloads held in memory, in MiB; one claim at most may exceed it.",
    )
    poll_interval: Duration = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=100),
        le=timedelta(seconds=60),
        description="How often an idle daemon looks for work that no notification announced.",
    )
    lease: Duration = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=3),
        le=timedelta(hours=1),
        description="How long a claim lasts unless extended; a crash costs its deliveries this "
        "at most.",
    )
    shutdown_grace: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        le=timedelta(minutes=10),
        description="How long calls in flight may take to finish after a stop signal.",
    )
    log_level: LogLevel = Field(
        default=LogLevel.INFO, description="The least severe events that are logged."
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="How events are written; auto is JSON unless on a terminal.",
    )
    http_listen: HttpListen | None = Field(
        default=None,
        description="Where /metrics, /livez, /readyz and /status answer; unset: nowhere.",
        json_schema_extra={
            "allowed": HTTP_LISTEN_FORM,
            "example": '"127.0.0.1:9464"',
        },
    )
    http_token: SecretStr | None = Field(
        default=None,
        min_length=SHORTEST_TOKEN,
        description="Bearer token that /metrics and /status ask for; unset: none, which only an "
        "address of this machine alone may have.",
        json_schema_extra={
            "allowed": f"{SHORTEST_TOKEN} characters or more",
            "example": '"a long random text"',
        },
    )
    otel_traces: bool = Field(
        default=False,
        description="One OpenTelemetry span an attempt; needs the extra otel. Where spans go is "
        "said by the variables OTEL_EXPORTER_OTLP_….",
    )
    sink_all: bool = Field(
        default=False,
        description="For staging: nothing is sent, and everything counts as accepted.",
        json_schema_extra={"allowed": "true, false"},
    )
    channels: dict[ChannelName, ChannelConfig] = Field(
        default={}, description="The channels this daemon serves."
    )
    _sources: Mapping[layers.Place, str] = PrivateAttr(default={})

    def written_in(self, sources: Mapping[layers.Place, str]) -> Self:
        """Remember the source of each place that was written anywhere, and return itself."""
        self._sources = sources
        return self

    def source_of(self, place: layers.Place) -> str | None:
        """Name the source that a setting was written in, or else the nearest table around it."""
        return layers.source_of(place, self._sources)

    def is_written(self, place: layers.Place) -> bool:
        """Tell whether a source names exactly this setting: otherwise its default holds."""
        return place in self._sources

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load` alone, which knows where each came from."""
        return (init_settings,)


def load(
    config_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read, join and check the settings. An override that is None counts as not given.

    Raises:
        ConfigError: One setting is wrong.
        ConfigErrors: Several are.
    """
    values, sources = layers.merge(
        layers.collect(Settings, config_file, environment, overrides or {})
    )
    # BaseSettings takes names that begin with an underscore for switches of its own.
    switches = [key for key in values if key.startswith("_")]
    errors = [unknown_setting(Settings, (key,), sources) for key in switches]
    try:
        settings = Settings(**{key: values[key] for key in values if key not in switches})
        settings.written_in(sources)
    except ValidationError as error:
        errors += explain(error, Settings, sources)
    else:
        errors += calls_longer_than_lease(settings)
        errors += _open_to_all(settings)
        errors += _fallbacks_to_nowhere(settings)
        if not errors:
            return settings
    raise wrong(errors) from None


def calls_longer_than_lease(settings: Settings) -> Iterator[ConfigError]:
    """Find the channels whose calls the lease would not last for."""
    longest = settings.lease - LEASE_MARGIN
    for name, channel in settings.channels.items():
        if channel.timeout <= longest:
            continue
        place = ("channels", name, "timeout")
        needed = channel.timeout + LEASE_MARGIN
        yield ConfigError(
            setting_name(place),
            f"{render(channel.timeout)} and {render(LEASE_MARGIN)} for the record are longer "
            f"than the lease of {render(settings.lease)}",
            f'a lease of "{render(needed)}" or more, or a shorter timeout',
            settings.source_of(place),
        )


def _fallbacks_to_nowhere(settings: Settings) -> Iterator[ConfigError]:
    """Find fallbacks on channels that are not served here, and those that lead back."""
    for name, channel in settings.channels.items():
        place = ("channels", name, "fallback")
        after, seen = channel.fallback, [name]
        if after is not None and after not in settings.channels:
            problem = "names a channel that is not configured here"
        else:
            while after in settings.channels and after not in seen:
                seen.append(after)
                after = settings.channels[after].fallback
            if after != name:
                continue
            problem = f"leads back to its own channel: {' -> '.join([*seen, name])}"
        others = ", ".join(sorted(settings.channels.keys() - {name})) or "no other channel"
        yield ConfigError(setting_name(place), problem, others, settings.source_of(place))


def _open_to_all(settings: Settings) -> Iterator[ConfigError]:
    address = settings.http_listen
    if address is not None and address.is_public and settings.http_token is None:
        yield ConfigError(
            "http_listen",
            f"{address} can be reached from other machines, and no http_token is set",
            "an address of this machine alone, as in 127.0.0.1:9464; or set http_token",
            settings.source_of(("http_listen",)),
        )

"""`chimewayd config`: whether the settings are right, what is in force and why, their schema."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from typing import TYPE_CHECKING

import click

from chimewayd.cli.output import (
    emit,
    emit_json,
    json_option,
    log_to_stderr,
    paint,
    printable,
)
from chimewayd.cli.session import Sources, pass_sources, require_channel, source_options

if TYPE_CHECKING:
    from chimewayd.config_shown import Shown


@click.group("config")
@source_options
def command() -> None:
    """Check the settings, show what is in force, print their schema.

    None of these asks the database; `chimewayd doctor` does.

    \b
    Examples:
      chimewayd config check --config new.toml
      chimewayd config show
      chimewayd config schema > chimewayd.schema.json
    """


@command.command("check")
@source_options
@pass_sources
def check(sources: Sources) -> int:
    """Say whether the daemon would start, or reload, with these settings.

    Each fault is named, with where it came from and what is allowed. Exit status 0: right; 78:
    wrong. The channels' adapters check their own settings; nothing is opened. What is allowed and
    unsafe is told on stderr, as at each start.
    """
    from chimewayd import dsn, exposed_secrets, tracing
    from chimewayd.startup import make_adapters

    log_to_stderr()
    settings = sources.load()
    exposed_secrets.warn(sources.config, sources.dsn)
    require_channel(settings)
    make_adapters(settings)
    tracing.check(settings)
    for setting in ("dsn", "listen_dsn"):
        if (secret := getattr(settings, setting)) is not None:
            dsn.parse(secret.get_secret_value(), setting=setting)
    emit(f"right: {', '.join(sorted(settings.channels))}")
    return 0


@command.command("show")
@json_option
@source_options
@pass_sources
def show(sources: Sources, *, as_json: bool) -> None:
    """Show every setting in force and where it came from; secrets are hidden.

    \b
    Examples:
      chimewayd config show
      chimewayd config show --json | jq -r '.settings[] | select(.source != "default") | .name'
    """
    from chimewayd import adapters
    from chimewayd.config_shown import shown

    settings = sources.load()
    in_force = shown(
        settings, {name: adapters.load(c.adapter, name) for name, c in settings.channels.items()}
    )
    if as_json:
        emit_json({"settings": [_document(setting) for setting in in_force]})
        return
    width = max(len(f"{s.name} = {s.value}") for s in in_force if len(s.value) < LONG)
    emit("\n".join(_line(setting, width) for setting in in_force))


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    \b
    Example:
      chimewayd config schema > /etc/chimewayd/schema.json
      then, as the first line of config.toml:  #:schema /etc/chimewayd/schema.json
    """
    from chimewayd import config_schema

    emit_json(config_schema.schema())


LONG = 60
"""A longer value gets its source beside it and moves no other's."""


def _line(setting: "Shown", width: int) -> str:
    text = printable(f"{setting.name} = {setting.value}")
    return f"{text:{width}}  {paint(f'# {printable(setting.source)}', dim=True)}"


def _document(setting: "Shown") -> dict[str, object]:
    return {"name": setting.name, "value": setting.value, "source": setting.source}

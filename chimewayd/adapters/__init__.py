"""Find an adapter by the name of its kind, and make one for a channel.

    channels.email.adapter = "smtp" ──▶ load ──▶ the class
    channels.email.settings         ──▶ make ──▶ its settings, checked ──▶ the adapter

Third parties add kinds through the entry point group `chimewayd.adapters`.
"""

import difflib
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeAlias, TypeGuard, get_args

import structlog
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from chimewayd.adapters.base import Adapter, AdapterSettings
from chimewayd.config_errors import in_words_of_toml
from chimewayd.errors import ConfigError, wrong
from chimewayd.log import Event

GROUP = "chimewayd.adapters"

SourceOf: TypeAlias = Callable[[tuple[str | int, ...]], str | None]
"""Names the source that the setting at a place was written in; None: nobody knows."""

_logger = structlog.get_logger()

# Also declared as entry points; the table keeps a checkout working that was not installed again,
# and a plug-in from taking a built-in name. Loaded one by one: `sink` needs no HTTP client.
BUILT_IN: Mapping[str, str] = {
    "apprise": "chimewayd.adapters.apprise:AppriseAdapter",
    "discord": "chimewayd.adapters.discord:DiscordAdapter",
    "exec": "chimewayd.adapters.exec:ExecAdapter",
    "fcm": "chimewayd.adapters.fcm:FcmAdapter",
    "log": "chimewayd.adapters.log:LogAdapter",
    "sink": "chimewayd.adapters.sink:SinkAdapter",
    "slack": "chimewayd.adapters.slack:SlackAdapter",
    "smtp": "chimewayd.adapters.smtp:SmtpAdapter",
    "teams": "chimewayd.adapters.teams:TeamsAdapter",
    "telegram": "chimewayd.adapters.telegram:TelegramAdapter",
    "twilio": "chimewayd.adapters.twilio:TwilioAdapter",
    "webpush": "chimewayd.adapters.webpush:WebpushAdapter",
    "webhook": "chimewayd.adapters.webhook:WebhookAdapter",
}


def load(kind: str, channel: str = "<name>", source_of: SourceOf = lambda _: None) -> type[Adapter]:
    """Return the class of an adapter kind; `channel` and `source_of` only serve errors.

    Raises:
        ConfigError: nobody provides the kind, or its plug-in cannot be imported.
    """
    setting = f"channels.{channel}.adapter"
    source = source_of(("channels", channel, "adapter"))
    provided = {point.name: point for point in entry_points(group=GROUP)}
    provided |= {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    if kind not in provided:
        problem = f"no adapter is called {kind!r}{_did_you_mean(kind, provided)}"
        raise ConfigError(setting, problem, ", ".join(sorted(provided)), source)
    try:
        found: object = provided[kind].load()
    except Exception as error:  # a plug-in may raise anything while it is imported
        problem = f"the adapter {kind!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(setting, problem, source=source) from error
    if not _is_adapter(found):
        problem = f"{provided[kind].value} is not an adapter class"
        raise ConfigError(setting, problem, source=source)
    return found


def make(
    channel: str,
    kind: str,
    settings: Mapping[str, object],
    timeout: timedelta,
    source_of: SourceOf = lambda _: None,
) -> Adapter:
    """Make the adapter of a channel from its settings; it opens nothing until it is entered.

    `source_of` only names sources in errors.

    Raises:
        ConfigError: the kind or one setting is wrong.
        ConfigErrors: several settings are wrong.
    """
    adapter = load(kind, channel, source_of)
    try:
        checked = adapter.Settings.model_validate(dict(settings))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise wrong(
            [_wrong_setting(channel, adapter.Settings, details, source_of) for details in found]
        ) from None
    for setting, danger in checked.dangers():
        _logger.warning(Event.CHANNEL_UNSAFE, channel=channel, setting=setting, danger=danger)
    return adapter(checked, timeout)


def reads_files(kind: str, settings: Mapping[str, object]) -> bool:
    """Tell whether settings name a file that the adapter reads when it is made.

    Raises:
        ConfigError: nobody provides the kind.
    """
    fields = load(kind).Settings.model_fields
    return any(
        settings.get(field.alias or name) is not None and _is_path(field)
        for name, field in fields.items()
    )


def _is_path(field: FieldInfo) -> bool:
    return Path in (field.annotation, *get_args(field.annotation))


def _is_adapter(found: object) -> TypeGuard[type[Adapter]]:
    settings = getattr(found, "Settings", None)
    return (
        isinstance(found, type)
        and callable(getattr(found, "deliver", None))
        and isinstance(settings, type)
        and issubclass(settings, AdapterSettings)
    )


def _wrong_setting(
    channel: str, settings: type[AdapterSettings], details: ErrorDetails, source_of: SourceOf
) -> ConfigError:
    """Translate one pydantic error; a value is never repeated, for it may be a secret."""
    place = ("channels", channel, "settings", *details["loc"])
    path, source = ".".join(map(str, place)), source_of(place)
    # By the names that are written in files: `from` cannot be the name of a Python field.
    fields = {field.alias or name: field for name, field in settings.model_fields.items()}
    field = fields.get(str(details["loc"][0])) if details["loc"] else None
    allowed = field.description if field else None
    match details["type"]:
        case "extra_forbidden" if len(details["loc"]) == 1:
            misspelt = str(details["loc"][-1])
            names = tuple(fields)
            problem = f"is no setting{_did_you_mean(misspelt, names)}"
            return ConfigError(path, problem, ", ".join(names), source)
        case "missing":
            return ConfigError(path, "is missing", allowed, source)
        case _:
            problem = details["msg"].removeprefix("Value error, ")
            problem = in_words_of_toml(problem)
            return ConfigError(path, problem, allowed, source)


def _did_you_mean(name: str, names: Mapping[str, object] | tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""

"""Perform an attempt through Apprise, for the hundred and more services that it knows.

    recipient ─▶ a name in `urls`, or put into `url` ─▶ a thread ─▶ the service's plug-in ─▶ judge
                                                           └─ deadline: left to its own timeouts

An Apprise URL holds the service's credentials, so it stands in the settings; a delivery only
names it or fills in a part. Missing on purpose: recipients that are Apprise URLs, attachments
(Apprise would read files and call addresses for them), Apprise's own retries and pauses.
"""

import logging
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, ClassVar
from urllib.parse import quote, unquote

import anyio
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from chimewayd.adapters import apprise_message
from chimewayd.adapters.apprise_message import Message
from chimewayd.adapters.apprise_outcome import Line, judge
from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.adapters.bounded_threads import BoundedThreads
from chimewayd.adapters.evidence import secret_words
from chimewayd.models import Delivery, Outcome, Permanent, TimedOut, Uncertain

try:
    import apprise
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Apprise is not installed: pip install 'chimewayd[apprise]'", name="apprise"
    ) from error

PLACE = "{recipient}"
LOCAL_SCHEMES = frozenset(
    {
        *("blink1", "dbus", "file", "gio", "glib", "gnome", "growl", "kde", "macosx", "qt"),
        *("rsyslog", "syslog", "vapid", "windows"),
    }
)
"""They show or write something on this machine or read its files: only where `schemes` asks."""
TIMEOUT_MARGIN_SECONDS = 1.0
"""How much later than our deadline a plug-in's socket gives up, so that ours is the one told."""
MOST_LINES = 50
_LINE_LIMIT_CHARACTERS = 4096

# A second recipient could follow any of them: services take lists.
_ONE_RECIPIENT = re.compile(r"[^\s,;:/\\?#&%\x00-\x1f\x7f]{1,200}")
_ASSET = apprise.AppriseAsset(
    app_id="chimewayd", http_redirects=False, secure_logging=True, storage_mode="memory"
)


class AppriseSettings(AdapterSettings):
    """Settings of an Apprise channel."""

    schemes: frozenset[str] | None = Field(
        default=None,
        min_length=1,
        description="the URL schemes that may be used; unset: all but those of this machine",
    )
    urls: dict[str, SecretStr] = Field(
        default_factory=dict, description="names of recipients, and the Apprise URL of each"
    )
    url: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description=f"the Apprise URL of all other recipients, with {PLACE} after its host",
    )
    threads: Annotated[int, Field(ge=1, le=200)] = Field(
        default=10, description="1 to 200 calls at one time, those left at their deadline included"
    )

    @field_validator("urls")
    @classmethod
    def _are_known(cls, urls: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        for name, url in urls.items():
            _check(url.get_secret_value(), info.data.get("schemes"), f"the URL of {name}")
        return urls

    @field_validator("url")
    @classmethod
    def _has_a_place(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is None:
            if info.data.get("urls") == {}:  # absent where they were refused
                raise ValueError("is missing, and urls names no recipient")
            return url
        before, place, _ = url.get_secret_value().partition(PLACE)
        if not place or not re.search(r"://[^/?]*[/?]", before):
            raise ValueError(f"has no {PLACE} after its host")
        _check(_filled(url), info.data.get("schemes"), "it")
        return url

    def dangers(self) -> Iterator[tuple[str, str]]:
        """Name the URLs that say `verify=no`, in whatever spelling: their plug-in knows."""
        urls = {f"urls.{name}": url.get_secret_value() for name, url in self.urls.items()}
        if self.url is not None:
            urls["url"] = _filled(self.url)
        for setting, url in urls.items():
            service = _service(url, 1.0)
            if service is not None and not service.verify_certificate:
                yield setting, "no certificate is checked: anybody on the way can read and answer"


def _filled(url: SecretStr) -> str:
    return url.get_secret_value().replace(PLACE, "1234567890")


def _check(url: str, schemes: frozenset[str] | None, what: str) -> None:
    scheme = url.partition("://")[0].lower()
    if scheme in LOCAL_SCHEMES if schemes is None else scheme not in schemes:
        raise ValueError(f"{what} has a scheme that the setting schemes does not allow")
    if _service(url, 1.0) is None:
        raise ValueError(f"{what} is no URL that Apprise can use")


def _service(url: str, timeout_seconds: float) -> apprise.NotifyBase | None:
    """Make the plug-in of a URL: a new one for each call, for they are not made to be shared."""
    service = apprise.Apprise.instantiate(url, asset=_ASSET)
    if not isinstance(service, apprise.NotifyBase):
        return None
    # Their own pause between two calls is 5.5 s; a channel's `rate` does that in the open.
    service.request_rate_per_sec = 0
    service.socket_connect_timeout = service.socket_read_timeout = timeout_seconds
    return service


class _Listener(logging.Filter):
    """Keeps what plug-ins log in the thread of a call, and lets nothing of it further."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        lines: list[Line] | None = getattr(self.here, "lines", None)
        if lines is not None and len(lines) < MOST_LINES:
            text = record.getMessage()[:_LINE_LIMIT_CHARACTERS]
            lines.append(Line(record.levelno >= logging.WARNING, text))
        return False


_listener = _Listener()


def _listen() -> None:
    """Take the lines of plug-ins for ourselves: URLs, payloads and answers stand in them."""
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(_listener)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class AppriseAdapter(HoldsNothing):
    """Hands each delivery to the plug-in of its recipient's URL."""

    Settings: ClassVar[type[AdapterSettings]] = AppriseSettings

    def __init__(self, settings: AppriseSettings, timeout: timedelta) -> None:
        self._urls = {name: url.get_secret_value() for name, url in settings.urls.items()}
        self._url = None if settings.url is None else settings.url.get_secret_value()
        self._threads = BoundedThreads(settings.threads, "apprise")
        self._timeout_seconds = timeout.total_seconds()
        _listen()

    async def deliver(self, delivery: Delivery) -> Outcome:
        url = self._urls.get(delivery.recipient)
        if url is None and self._url is None:
            return Permanent(detail="recipient is not one of the names in the setting urls")
        if url is None:
            if not _ONE_RECIPIENT.fullmatch(delivery.recipient):
                return Permanent(detail="recipient cannot stand in a URL as one recipient")
            url = str(self._url).replace(PLACE, quote(delivery.recipient, safe=""))
        message = apprise_message.read(delivery.payload_json)
        if isinstance(message, Permanent):
            return message
        return await self._call(url, message)

    async def _call(self, url: str, message: Message) -> Outcome:
        began = anyio.Event()
        try:
            with anyio.move_on_after(self._timeout_seconds):
                return await self._threads.run(lambda: self._notify(url, message), began.set)
        except RuntimeError:
            return TimedOut(detail="no thread could be started", request_sent=False)
        if began.is_set():
            return TimedOut(detail="the service gave no answer in time")
        return TimedOut(
            detail="every thread of the channel was busy, see the setting threads",
            request_sent=False,
        )

    def _notify(self, url: str, message: Message) -> Outcome:
        """Make the call; in a thread."""
        secrets = _secrets_of(url)
        lines: list[Line] = []
        _listener.here.lines = lines
        try:
            service = _service(url, self._timeout_seconds + TIMEOUT_MARGIN_SECONDS)
            if service is None:
                return Permanent(detail="recipient is none that the service's URL can hold")
            was_accepted = service.notify(
                body=message.body,
                title=message.title,
                notify_type=apprise.NotifyType(message.type),
                body_format=apprise.NotifyFormat(message.format),
            )
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, at any point
            return Uncertain(detail=f"the plug-in raised {type(error).__name__}")
        finally:
            _listener.here.lines = None
        return judge(lines, secrets, was_accepted=bool(was_accepted))


def _secrets_of(url: str) -> tuple[str, ...]:
    """List everything in a URL that may be a secret, in every spelling that it may come back in."""
    rest = url.partition("://")[2]
    parts = re.split(r"[/:@?&=#,+]+", rest)
    return secret_words((rest, *parts, unquote(rest), *map(unquote, parts)))

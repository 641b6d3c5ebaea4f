"""Put the rendering of templates before an adapter.

{"template": "order_shipped", "data": {…}, "attachments": […]}
     └─ rendered: {"subject": …, "text": …} ─┬─ {"attachments": […]}
                                             ▼
                                   what the adapter is given
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import anyio

from chimewayd.adapters.base import Adapter, AdapterSettings
from chimewayd.errors import ConfigError
from chimewayd.models import Delivery, Outcome, Permanent, TimedOut
from chimewayd.templates.renderer import Payload, Renderer

GRACE_SECONDS = 0.75
"""How much later than the deadline a call is cut: less than the daemon would wait. A rendering
usually takes less, and then the adapter's own deadline ends it, which knows what was sent."""

# Cheap, and never wrong: the database stores the keys of an object in one spelling.
_MARK = '"template"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a payload asks for: a template, its data, and the fields that it gives itself."""

    template: str
    data: dict[str, Any]
    own: dict[str, Any]


def read(payload_json: str) -> Wanted | Permanent | None:
    """Find out which template a payload names; None: none, it is the adapter's as it is."""
    if _MARK not in payload_json:
        return None
    try:
        payload = json.loads(payload_json)
    except (ValueError, RecursionError):
        # Never sent as it is: it may name a template, and then its data are for no recipient.
        return Permanent(detail="payload: a number is too long, or it is nested too deep")
    if not isinstance(payload, dict) or "template" not in payload:
        return None
    template, data = payload.pop("template"), payload.pop("data", {})
    if not isinstance(template, str):
        return Permanent(detail="payload: template must be a text, the name of a template")
    if not isinstance(data, dict):
        return Permanent(detail="payload: data must be a JSON object")
    return Wanted(template, data, payload)


def join(wanted: Wanted, rendered: Any) -> str | Permanent:
    """Return the payload for the adapter: what was rendered, and the fields given beside it."""
    if wanted.own:
        if not isinstance(rendered, dict):
            return Permanent(
                detail=f"template {wanted.template!r} renders no JSON object, so the payload can "
                "have no fields beside template and data"
            )
        if both := sorted(wanted.own.keys() & rendered.keys()):
            return Permanent(
                detail=f"payload: {both[0]} is rendered by template {wanted.template!r} too"
            )
        rendered = rendered | wanted.own
    return json.dumps(rendered, ensure_ascii=False)


def check_folder(channel: str, folder: Path, source: str | None = None) -> None:
    """See that the folder is there; `source` is where its setting was written.

    Raises:
        ConfigError: it is not.
    """
    if not folder.is_absolute() or not folder.is_dir():
        raise ConfigError(
            f"channels.{channel}.templates",
            "names no folder that we may read",
            "the absolute path of a folder that holds one folder a template",
            source,
        )


class Templated:
    """An adapter that is given rendered payloads."""

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings

    def __init__(self, adapter: Adapter, folder: Path, timeout: timedelta) -> None:
        self._adapter = adapter
        self._renderer = Renderer(folder)
        self._timeout_seconds = timeout.total_seconds()

    async def __aenter__(self) -> Self:
        await self._adapter.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._adapter.__aexit__(kind, error, traceback)
        finally:
            await self._renderer.close()

    async def deliver(self, delivery: Delivery) -> Outcome:
        wanted = read(delivery.payload_json)
        if wanted is None:
            return await self._adapter.deliver(delivery)
        if isinstance(wanted, Permanent):
            return wanted
        deadline = anyio.current_time() + self._timeout_seconds
        rendered = await self._renderer.render(wanted.template, wanted.data, self._timeout_seconds)
        if not isinstance(rendered, Payload):
            return rendered
        payload_json = join(wanted, rendered.value)
        if isinstance(payload_json, Permanent):
            return payload_json
        # The adapter's own deadline begins only now; ours began before the rendering.
        with anyio.move_on_after(deadline + GRACE_SECONDS - anyio.current_time()):
            return await self._adapter.deliver(delivery._replace(payload_json=payload_json))
        return TimedOut(detail="no answer within what the rendering left of the deadline")

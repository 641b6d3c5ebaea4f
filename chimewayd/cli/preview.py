"""`chimewayd preview`: what a template makes of some data, without sending it."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from chimewayd.cli import document
from chimewayd.cli.output import emit, emit_json, json_option, paint, printable
from chimewayd.cli.session import Sources, pass_sources, source_options

if TYPE_CHECKING:
    from chimewayd.config import Settings


@click.command("preview")
@click.argument("template")
@click.argument("stdin", type=click.Choice(["-"]), metavar="[-]", required=False)
@click.option("--data", metavar="JSON", help="What the template is given; an object.")
@click.option("--data-file", type=click.File("rb"), help="Read it from a file; - is stdin.")
@click.option("--channel", metavar="NAME", help="Use this channel's folder of templates.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Use this folder; no configuration is read.",
)
@json_option
@source_options
@pass_sources
def command(
    sources: Sources,
    *,
    template: str,
    stdin: str | None,
    data: str | None,
    data_file: IO[bytes] | None,
    channel: str | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Render TEMPLATE and print the payload; nothing is inserted and nothing is sent.

    The folder is that of --channel, or the only one that the channels have. Data is JSON of at
    most 256 KiB: give --data, --data-file, or - to read it from stdin; without, it is {}.

    \b
    Examples:
      chimewayd preview order_shipped --data '{"order": 42}'
      chimewayd preview order_shipped --channel mail --data-file order.json --json
      chimewayd preview order_shipped --folder ./templates - < order.json
    """
    import anyio

    given = _data(data, data_file, stdin)
    if folder is None:
        folder = _folder(sources.load(), channel)
    payload = anyio.run(_render, folder, template, given)
    if as_json:
        emit_json(payload) if isinstance(payload, dict) else emit(json.dumps(payload))
    else:
        emit("\n\n".join(_lines(payload)))


def _data(text: str | None, file: IO[bytes] | None, stdin: str | None) -> dict[str, Any]:
    if sum(source is not None for source in (text, file, stdin)) > 1:
        raise click.UsageError("data: give it once: --data JSON, --data-file FILE, or - for stdin")
    source = sys.stdin.buffer if stdin else file
    limit = document.PAYLOAD_LIMIT_BYTES
    raw = (text or "{}").encode(errors="surrogateescape")
    if source is not None:
        raw = document.read("data", source, limit)
    data = json.loads(document.check("data", raw, limit))
    if not isinstance(data, dict):
        raise click.UsageError("data: must be a JSON object")
    return data


def _folder(settings: "Settings", channel: str | None) -> Path:
    folders = {
        name: found.templates for name, found in settings.channels.items() if found.templates
    }
    if channel is not None and channel in folders:
        return folders[channel]
    if channel is not None:
        known = f"; these have: {', '.join(sorted(folders))}" if folders else ""
        raise click.UsageError(f"channel {channel} has no setting templates{known}")
    if len(set(folders.values())) != 1:
        names = ", ".join(sorted(folders)) or "none"
        raise click.UsageError(
            f"which folder? Channels with templates: {names}; choose with --channel or --folder"
        )
    return next(iter(folders.values()))


async def _render(folder: Path, template: str, data: dict[str, Any]) -> Any:
    from chimewayd.errors import ChimewaydError
    from chimewayd.templates.renderer import Payload, Renderer

    renderer = Renderer(folder)
    try:
        rendered = await renderer.render(template, data)
    finally:
        await renderer.close()
    if isinstance(rendered, Payload):
        return rendered.value
    raise ChimewaydError(rendered.detail)


def _lines(payload: Any) -> list[str]:
    """Lay a payload out for people: each field under its name."""
    if not isinstance(payload, dict):
        return [_shown(payload)]
    return [f"{paint(printable(name), bold=True)}\n{_shown(payload[name])}" for name in payload]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(map(printable, text.split("\n")))

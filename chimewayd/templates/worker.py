"""Renders templates in a process of its own: `python -m chimewayd.templates.worker FOLDER`.

    stdin    {"template": "order_shipped", "data": {…}}
    stdout   {"payload": …}
             {"broken": "template order_shipped/text.j2, line 3: 'order' is undefined"}
             {"misconfigured": "the folder … cannot be read: …"}
    one line each, in turn; "worn" beside it says that the process should not be used again

A template is a folder of files. `NAME.j2` renders the payload's field NAME as text, `NAME.json.j2`
renders it as JSON, and `payload.json.j2` alone renders the whole payload. In `html.j2` values are
escaped for HTML, in `*.json.j2` for JSON.

A process, because nothing else ends a template that never ends or takes all memory. It bounds
itself, so that it cannot outlive its parent either: an interval timer raises in the template, a
second one kills what does not get there, and the address space is limited.
"""

import difflib
import json
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2.loaders import split_template_path
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chimewayd.templates import CPU_SECONDS, MEMORY_BYTES, OUTPUT_LIMIT_CHARACTERS

SUFFIX = ".j2"
JSON_SUFFIX = ".json.j2"
WHOLE_PAYLOAD = "payload" + JSON_SUFFIX

# No leading underscore: that is where layouts and parts live. No dot: nothing leads out.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
LONGEST_REASON = 2000
"""Longer ones repeat the data, each text of which is looked for in them and struck out."""
# They waste time on purpose, or keep state between two renderings.
_NO_GLOBALS = ("lipsum", "cycler", "joiner")

Answer = dict[str, Any]


class _Broken(Exception):  # noqa: N818 - it says what the template is
    """The template cannot be rendered with this data, now or later."""


class _Overtime(Exception):  # noqa: N818 - it says what happened
    """The rendering took too long."""

    def __init__(self) -> None:
        super().__init__(f"it took more than {CPU_SECONDS:g} s of CPU")


class _InsideFolder(BaseLoader):
    """Reads files below the folder and nothing else, whatever links lie there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_source(
        self,
        environment: Environment,  # noqa: ARG002 - the interface's
        template: str,
    ) -> tuple[str, str, Callable[[], bool]]:
        # Resolved anew each time: a deployment may turn the folder's link to its next release.
        path = _inside(self._folder, *split_template_path(template))
        if path is None or not path.is_file():
            raise TemplateNotFound(template)
        status = path.stat()

        def is_up_to_date() -> bool:
            with suppress(OSError):
                now = path.stat()
                is_same = _inside(self._folder, *split_template_path(template)) == path
                return is_same and (now.st_mtime_ns, now.st_size) == (
                    status.st_mtime_ns,
                    status.st_size,
                )
            return False

        return path.read_text("utf-8"), str(path), is_up_to_date


def _inside(folder: Path, *parts: str) -> Path | None:
    """Return the real path of something below the folder; None if a link leads out of it."""
    root = folder.resolve()
    path = root.joinpath(*parts).resolve()
    return path if path.is_relative_to(root) else None


def _for_json(value: object) -> object:
    """Write a value so that it can stand in a JSON document: a text between quotes, others bare."""
    if hasattr(value, "__html__") or isinstance(value, StrictUndefined):
        return value
    written = json.dumps(value, ensure_ascii=False)
    return written[1:-1] if isinstance(value, str) else written


def environments(folder: Path) -> Mapping[str, Environment]:
    """Make one environment a way of escaping; the file that is rendered chooses, not its parts."""
    made: dict[str, Environment] = {}
    for kind in ("text", "html", "json"):
        made[kind] = ImmutableSandboxedEnvironment(
            loader=_InsideFolder(folder),
            undefined=StrictUndefined,
            autoescape=kind == "html",
            finalize=_for_json if kind == "json" else None,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in _NO_GLOBALS:
            del made[kind].globals[name]
    return made


def render(folder: Path, made: Mapping[str, Environment], template: str, data: Answer) -> Answer:
    """Render one template; return the answer as it goes to the parent."""
    try:
        files = _files(folder, template)
    except OSError as error:
        return {"misconfigured": f"the folder {folder} cannot be read: {error.strerror}"}
    except _Broken as error:
        return {"broken": str(error)}
    payload: Answer = {}
    room = OUTPUT_LIMIT_CHARACTERS
    for file in files:
        name = f"{template}/{file}"
        try:
            text = _render_file(made[_kind(file)], name, data, room)
            room -= len(text)
            value = _parsed(text) if file.endswith(JSON_SUFFIX) else text
        except Exception as error:  # noqa: BLE001 - whatever a template and its data lead to
            is_worn = isinstance(error, _Overtime | MemoryError)
            return {"broken": _told(folder, name, error), "worn": is_worn}
        if file == WHOLE_PAYLOAD:
            return {"payload": value}
        payload[file.removesuffix(SUFFIX).removesuffix(".json")] = value
    return {"payload": payload}


def _files(folder: Path, template: str) -> list[str]:
    """List the files that make the payload."""
    entries = [entry.name for entry in folder.iterdir()]
    directory = _inside(folder, template) if _NAME.fullmatch(template) else None
    if directory is None or not directory.is_dir():
        known = [name for name in entries if _NAME.fullmatch(name) and name != template]
        nearest = difflib.get_close_matches(template, known, n=1)
        meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise _Broken(f"no template is called {template[:100]!r}{meant}")
    files = sorted(entry.name for entry in directory.iterdir() if entry.name.endswith(SUFFIX))
    if not files:
        raise _Broken(f"template {template!r} has no file that ends with {SUFFIX}")
    if WHOLE_PAYLOAD in files and len(files) > 1:
        other = next(file for file in files if file != WHOLE_PAYLOAD)
        raise _Broken(f"template {template!r} has {WHOLE_PAYLOAD} for the whole, and also {other}")
    return files


def _kind(file: str) -> str:
    if file.endswith(JSON_SUFFIX):
        return "json"
    return "html" if file == "html" + SUFFIX else "text"


def _render_file(environment: Environment, name: str, data: Answer, room: int) -> str:
    parts: list[str] = []
    for part in environment.get_template(name).generate(data):
        room -= len(part)
        if room < 0:
            raise _Broken(f"it renders more than {OUTPUT_LIMIT_CHARACTERS} characters")
        parts.append(part)
    return "".join(parts)


def _parsed(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise _Broken(f"what it renders is not JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _told(folder: Path, name: str, error: Exception) -> str:
    """Say in one line what is wrong, in which file and line."""
    root = f"{folder.resolve()}{os.sep}"
    where, line = name, None
    if isinstance(error, TemplateSyntaxError):
        where, line = error.name or name, error.lineno
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename.startswith(root)
        ]
        if frames:
            where, line = frames[-1].filename.removeprefix(root), frames[-1].lineno
    match error:
        case TemplateNotFound() if error.name == name:
            what = "it is no file inside the folder of templates"
        case TemplateNotFound():
            what = f"there is no file {error.name!r} to include"
        case MemoryError():
            what = "it takes too much memory"
        case RecursionError():
            what = "it includes or calls itself without end"
        case _:
            what = str(error) or type(error).__name__
    if len(what) > LONGEST_REASON:
        what = type(error).__name__
    return f"template {where}, line {line}: {what}" if line else f"template {where}: {what}"


def _bound_process() -> None:
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):  # not every system has each
            resource.setrlimit(limit, (value, value))

    def raise_overtime(_: int, __: FrameType | None) -> None:
        raise _Overtime

    signal.signal(signal.SIGVTALRM, raise_overtime)
    # The second timer must find its default action: the end of the process.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _set_timers(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, seconds * 2)


def main(folder: Path) -> None:
    """Answer requests until the standard input ends."""
    _bound_process()
    made = environments(folder)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        _set_timers(CPU_SECONDS)
        try:
            answer = render(folder, made, asked["template"], asked["data"])
        except _Overtime as error:  # between two files
            answer = {"broken": f"template {asked['template']}: {error}", "worn": True}
        finally:
            _set_timers(0)
        written = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
        sys.stdout.buffer.write(written + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

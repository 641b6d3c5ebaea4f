"""What templates render to, and what is said of those that are broken: with real processes."""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chimewayd.models import Misconfigured, Outcome, Permanent, Unavailable
from chimewayd.templates import renderer as rendering
from chimewayd.templates.renderer import Payload, Renderer

pytestmark = pytest.mark.anyio

Write = Callable[..., None]

NASTY = '"}, <b>&\n\\ {{ 7 * 7 }} {% raw %} \u2028 ☃'


PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the answer however crowded the machine: a second of CPU may take ten there."""
    monkeypatch.setattr(rendering, "ANSWER_SECONDS", PATIENCE_SECONDS)


async def rendered(renderer: Renderer, template: str, **data: object) -> Any:
    payload = await renderer.render(template, data, PATIENCE_SECONDS)
    assert isinstance(payload, Payload), payload
    return payload.value


async def broken(renderer: Renderer, template: str, **data: object) -> str:
    outcome = await renderer.render(template, data, PATIENCE_SECONDS)
    assert isinstance(outcome, Permanent), outcome
    assert outcome.detail is not None
    return outcome.detail


async def test_each_file_becomes_a_field(renderer: Renderer, write: Write) -> None:
    write("shipped", subject="Order {{ order }}\n", text="Hello {{ name }},\n\nbye\n")

    payload = await rendered(renderer, "shipped", order=42, name="Ada")

    assert payload == {"subject": "Order 42", "text": "Hello Ada,\n\nbye"}


async def test_data_is_never_a_template_and_is_escaped_for_its_file(
    renderer: Renderer, write: Write
) -> None:
    write("shipped", text="{{ said }}", html="<p>{{ said }}</p>", blocks_json='["{{ said }}"]')

    payload = await rendered(renderer, "shipped", said=NASTY)

    assert payload["text"] == NASTY
    assert payload["blocks"] == [NASTY]
    assert payload["html"].startswith("<p>&#34;}, &lt;b&gt;&amp;\n")


async def test_json_file_takes_values_bare_and_texts_between_quotes(
    renderer: Renderer, write: Write
) -> None:
    write(
        "hook", payload_json='{"a": {{ a }}, "b": "{{ b }}-", "c": {{ b | tojson }}, "d": {{ d }}}'
    )

    payload = await rendered(renderer, "hook", a=10**30, b=NASTY, d=[None, True, {"x": 1.5}])

    assert payload == {"a": 10**30, "b": f"{NASTY}-", "c": NASTY, "d": [None, True, {"x": 1.5}]}


async def test_layouts_and_parts_come_from_the_folder(renderer: Renderer, write: Write) -> None:
    write("_layout", html="<html>{% block body %}{% endblock %}</html>")
    write("_part", html="{{ name }}!")
    write(
        "hi",
        html="{% extends '_layout/html.j2' %}{% block body %}{% include '_part/html.j2' %}"
        "{% endblock %}",
    )

    assert await rendered(renderer, "hi", name="<Ada>") == {"html": "<html>&lt;Ada&gt;!</html>"}


async def test_edited_template_is_used_at_once(renderer: Renderer, write: Write) -> None:
    write("_part", text="one")
    write("hi", text="{% include '_part/text.j2' %}")
    await rendered(renderer, "hi")

    write("_part", text="three")

    assert await rendered(renderer, "hi") == {"text": "three"}


async def test_folder_may_be_a_link_that_is_turned(folder: Path, tmp_path: Path) -> None:
    current = tmp_path / "current"
    for release in ("one", "two"):
        (folder / release / "hi").mkdir(parents=True)
        (folder / release / "hi" / "text.j2").write_text(release)
    current.symlink_to(folder / "one")
    renderer = Renderer(current)

    first = await rendered(renderer, "hi")
    (tmp_path / "next").symlink_to(folder / "two")
    (tmp_path / "next").rename(current)
    second = await rendered(renderer, "hi")

    await renderer.close()
    assert (first, second) == ({"text": "one"}, {"text": "two"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n{{ nobody }}", "line 3: 'nobody' is undefined"),
        ("\n{{ name.nothing }}", "line 2: 'str object' has no attribute 'nothing'"),
        ("\n\n\n{% if %}", "line 4: Expected an expression"),
        ("\n{{ name | shout }}", "line 2: No filter named 'shout'"),
        ("{{ name + 1 }}", "line 1: can only concatenate str"),
        ("\n{{ ''.__class__.__mro__ }}", "line 2: access to attribute '__class__'"),
        ("\n{{ name.__init__.__globals__ }}", "line 2: access to attribute '__init__'"),
        ("{{ '{0.__class__}'.format(name) }}", "line 1: access to attribute '__class__'"),
        ("\n{% include '../../secret' %}", "line 2: there is no file '../../secret'"),
        ("\n{% include '/etc/passwd' %}", "line 2: there is no file '/etc/passwd'"),
        ("\n{% include 'links/out.j2' %}", "line 2: there is no file 'links/out.j2'"),
        ("\n{% include 'broken/text.j2' %}", "line 2: it includes or calls itself"),
        ("\n{% for i in range(10 ** 9) %}{% endfor %}", "line 2: Range too big"),
        ("\n{{ 'a' * 10 ** 10 }}", "line 2: it takes too much memory"),
        ("{% for i in range(9999) %}{{ 'a' * 999 }}{% endfor %}", "it renders more than 1048576"),
        ("{{ lipsum() }}", "line 1: 'lipsum' is undefined"),
    ],
)
async def test_broken_template_is_permanent_and_told_with_file_and_line(
    renderer: Renderer, write: Write, folder: Path, text: str, said: str
) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "links").mkdir()
    (folder / "links" / "out.j2").symlink_to(folder.parent / "secret")
    write("broken", text=text)
    write("good", text="good")

    detail = await broken(renderer, "broken", name="Ada")

    assert detail.startswith("template broken/text.j2")
    assert said in detail
    assert await rendered(renderer, "good") == {"text": "good"}


async def test_reason_that_repeats_pages_of_data_is_told_by_its_kind(
    renderer: Renderer, write: Write
) -> None:
    write("hi", text="{{ x[key] }}")

    detail = await broken(renderer, "hi", x={}, key="a text of the payload " * 1000)

    assert detail == "template hi/text.j2, line 1: UndefinedError"


async def test_fault_in_a_part_is_told_with_the_part_and_its_line(
    renderer: Renderer, write: Write
) -> None:
    write("_part", text="\n\n{{ nobody }}")
    write("hi", text="{% include '_part/text.j2' %}")

    assert await broken(renderer, "hi") == "template _part/text.j2, line 3: 'nobody' is undefined"


@pytest.mark.parametrize(
    "endless",
    [
        "\n{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "\n{{ 'x' if 10 ** (10 ** 9) }}",
    ],
)
async def test_template_that_never_ends_is_ended_and_the_next_is_rendered(
    renderer: Renderer, write: Write, endless: str
) -> None:
    write("endless", text=endless)
    write("good", text="good")

    detail = await broken(renderer, "endless")

    assert detail.startswith("template endless")
    assert "it took more than 1 s of CPU" in detail
    assert await rendered(renderer, "good") == {"text": "good"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"payload_json": "{]"}, "template it/payload.json.j2: what it renders is not JSON: "),
        ({"payload_json": "NaN"}, "template it/payload.json.j2: what it renders is not JSON: NaN"),
        ({"payload_json": "{}", "text": ""}, "has payload.json.j2 for the whole, and also text.j2"),
        ({}, "template 'it' has no file that ends with .j2"),
    ],
)
async def test_folder_that_makes_no_payload_is_told(
    renderer: Renderer, write: Write, files: dict[str, str], said: str
) -> None:
    write("it", **files)

    assert said in await broken(renderer, "it")


@pytest.mark.parametrize(
    "name", ["order_shiped", "", ".", "..", "../templates/it", "_layout", "a/b"]
)
async def test_name_of_no_template_is_told(renderer: Renderer, write: Write, name: str) -> None:
    write("order_shipped", text="")
    write("_layout", text="")

    detail = await broken(renderer, name)

    assert detail.startswith(f"no template is called {name!r}")
    assert ("did you mean 'order_shipped'?" in detail) is (name == "order_shiped")


async def test_link_out_of_the_folder_is_no_template(
    renderer: Renderer, write: Write, folder: Path
) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "text.j2").write_text("secret")
    (folder / "out").symlink_to(outside)
    write("file", subject="")
    os.symlink(outside / "text.j2", folder / "file" / "text.j2")  # noqa: PTH211 - in a coroutine

    assert await broken(renderer, "out") == "no template is called 'out'"
    assert "file/text.j2: it is no file inside the folder" in await broken(renderer, "file")


async def test_folder_that_is_gone_is_our_own_fault(folder: Path) -> None:
    folder.rmdir()  # noqa: ASYNC240 - a test may wait
    renderer = Renderer(folder)

    outcome: object = await renderer.render("hi", {})

    await renderer.close()
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome, Misconfigured)
    assert outcome.detail == f"the folder {folder} cannot be read: No such file or directory"


async def test_machine_that_starts_no_process_now_costs_no_attempt(
    renderer: Renderer, write: Write
) -> None:
    write("shipped", text="Hello")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        outcome = await renderer.render("shipped", {}, PATIENCE_SECONDS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert isinstance(outcome, Unavailable)
    assert "templates cannot be rendered now" in (outcome.detail or "")

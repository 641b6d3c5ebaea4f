"""`chimewayd preview`: what is printed, and what is said of a broken template."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import Ended, chimewayd

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two templates."""
    files = {
        "order_shipped/subject.j2": "Order {{ order }} has shipped\n",
        "order_shipped/text.j2": "Hello,\n\n{{ order }}\x1b[2J",
        "broken/text.j2": "\n{{ order",
        "list/payload.json.j2": "[{{ order }}]",
    }
    for name, text in files.items():
        path = tmp_path / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "templates"


async def preview(
    *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Ended:
    return await chimewayd("preview", *arguments, stdin=stdin, environment=environment)


async def test_fields_are_printed_under_their_names(folder: Path) -> None:
    ended = await preview("order_shipped", "--folder", str(folder), "--data", '{"order": 42}')

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == "subject\nOrder 42 has shipped\n\ntext\nHello,\n\n42\\x1b[2J\n"


async def test_json_is_the_payload_as_the_adapter_is_given_it(folder: Path) -> None:
    ended = await preview(
        "order_shipped", "--folder", str(folder), "--json", "-", stdin=b'{"order": 1}'
    )
    listed = await preview("list", "--folder", str(folder), "--json", "--data", '{"order": 1}')

    assert ended.document == {"subject": "Order 1 has shipped", "text": "Hello,\n\n1\x1b[2J"}
    assert listed.document == [1]


@pytest.mark.parametrize("options", [[], ["--channel", "mail"]])
async def test_folder_is_that_of_the_channels(folder: Path, options: list[str]) -> None:
    environment = {
        "CHIMEWAYD_CHANNELS__MAIL__ADAPTER": "sink",
        "CHIMEWAYD_CHANNELS__MAIL__TEMPLATES": str(folder),
        "CHIMEWAYD_CHANNELS__OTHER__ADAPTER": "sink",
    }

    ended = await preview("list", "--data", '{"order": 7}', *options, environment=environment)

    assert (ended.exit_code, json.loads(ended.stdout)) == (0, [7])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("broken", "template broken/text.j2, line 2: "),
        ("order_shipped", "template order_shipped/subject.j2, line 1: 'order' is undefined"),
        ("order_shiped", "no template is called 'order_shiped'; did you mean 'order_shipped'?"),
    ],
)
async def test_broken_template_is_1_with_file_and_line(
    folder: Path, template: str, said: str
) -> None:
    ended = await preview(template, "--folder", str(folder))

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"chimewayd: {said}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--data", "[]"], "data: must be a JSON object"),
        (["x", "--data", "{"], "data: is not valid JSON"),
        (["x", "--data", "{}", "-"], "data: give it once"),
        (["x"], "which folder? Channels with templates: none"),
        (["x", "--channel", "mail"], "channel mail has no setting templates"),
    ],
)
async def test_wrong_usage_is_2(arguments: list[str], said: str) -> None:
    ended = await preview(*arguments)

    assert ended.exit_code == 2
    assert said in ended.stderr

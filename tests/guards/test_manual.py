"""deploy/chimewayd.1 is the manual of these commands: `make pages` writes it anew."""

import man_page

from chimewayd import cli


def test_the_manual_is_that_of_these_commands() -> None:
    assert man_page.PAGE.read_text("utf-8") == man_page.page(), (
        "the manual is behind the commands: .venv/bin/python tests/man_page.py"
    )


def test_every_command_of_the_manual_has_its_section_and_examples() -> None:
    page = man_page.page()

    for name in cli.chimewayd.commands:
        _, found, rest = page.partition(f".SS chimewayd {name} ")
        assert found
        assert "Examples:" in rest.partition(".SS chimewayd ")[0], name

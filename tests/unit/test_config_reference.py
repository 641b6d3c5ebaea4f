"""The reference and the example file say what the settings are."""

import tomllib
from pathlib import Path
from typing import Any

from chimewayd import config_reference
from chimewayd.config import load

EXAMPLE = Path(__file__).parents[2] / "deploy" / "config.example.toml"


def test_the_example_file_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text() == config_reference.example()


def test_the_example_file_loads() -> None:
    assert list(load(EXAMPLE, {}).channels) == ["log"]


def test_each_commented_key_of_the_example_loads_and_is_the_default(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in lines
        if not line.startswith("# fallback = ")  # it needs a second channel
    )

    path = tmp_path / "all.toml"
    path.write_text(uncommented)

    shown, defaults = load(path, {}), load(EXAMPLE, {})

    unset = {"listen_dsn", "name", "schedule", "max_age", "templates", "rate", "rate_burst"}
    unset |= {"failure_ratio", "host_concurrency", "recipient_override"}
    unset |= {"http_listen", "http_token"}
    unset |= {"redact_after", "delete_after"}
    assert _without(shown.model_dump(), unset) == _without(defaults.model_dump(), unset)


def test_every_setting_has_a_meaning() -> None:
    assert not [doc.name for doc in config_reference.describe() if not doc.meaning]


def test_every_default_of_the_reference_is_toml() -> None:
    shown = [doc.default for doc in config_reference.describe() if doc.default]

    assert len(shown) > 10
    assert all(tomllib.loads(f"x = {default}") for default in shown)


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {
        name: _without(value, names) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in names
    }

"""Fallbacks lead somewhere, and never back."""

from pathlib import Path

import pytest

from chimewayd.config import load
from chimewayd.errors import ConfigError, ConfigErrors


def configured(tmp_path: Path, **fallbacks: str | None) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        "\n".join(
            f'[channels.{name}]\nadapter = "log"\n' + (f'fallback = "{other}"\n' if other else "")
            for name, other in fallbacks.items()
        )
    )
    return path


def test_chain_that_ends_is_taken(tmp_path: Path) -> None:
    settings = load(configured(tmp_path, email="sms", sms="voice", voice=None), {})

    assert settings.channels["email"].fallback == "sms"


@pytest.mark.parametrize(
    ("fallbacks", "problem"),
    [
        ({"email": "smss", "sms": None}, "names a channel that is not configured here"),
        ({"email": "email"}, "leads back to its own channel: email -> email"),
        (
            {"email": "sms", "sms": "voice", "voice": "email"},
            "leads back to its own channel: email -> sms -> voice -> email",
        ),
    ],
)
def test_anything_else_stops_the_start(
    tmp_path: Path, fallbacks: dict[str, str | None], problem: str
) -> None:
    with pytest.raises((ConfigError, ConfigErrors), match=problem) as caught:
        load(configured(tmp_path, **fallbacks), {})

    assert "channels.email.fallback" in str(caught.value)

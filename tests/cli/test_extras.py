"""What an extra brings is not there: what wants it is refused, with what to install."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import chimewayd

pytestmark = pytest.mark.anyio

SINK = '{"one": {"adapter": "sink"}}'
WANTED: Mapping[str, tuple[str, dict[str, str]]] = {
    "otel": ("opentelemetry", {"channels": SINK, "otel_traces": "true"}),
    "webpush": ("cryptography", {"channels": '{"one": {"adapter": "webpush"}}'}),
    "fcm": ("cryptography", {"channels": '{"one": {"adapter": "fcm"}}'}),
    "apprise": ("apprise", {"channels": '{"one": {"adapter": "apprise"}}'}),
}


@pytest.mark.parametrize("extra", WANTED)
async def test_setting_that_wants_an_extra_is_refused_with_what_to_install(
    extra: str, tmp_path: Path
) -> None:
    package, settings = WANTED[extra]
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(
        f"raise ModuleNotFoundError('No module named {package}', name='{package}')"
    )
    environment = {f"CHIMEWAYD_{name.upper()}": value for name, value in settings.items()}

    ended = await chimewayd(
        "config", "check", environment=environment | {"PYTHONPATH": str(tmp_path)}
    )

    assert ended.exit_code == 78
    assert f"pip install 'chimewayd[{extra}]'" in ended.stderr

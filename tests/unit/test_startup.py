"""Making the adapters of a configuration: what is wrong with any of them is told, and where."""

from pathlib import Path

import pytest

from chimewayd.config import load
from chimewayd.errors import ConfigErrors
from chimewayd.startup import make_adapters


def test_what_is_wrong_with_each_channel_is_told_at_once_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "chimewayd.toml"
    file.write_text(
        '[channels.hooks]\nadapter = "webhook"\nsettings = { methd = "PUT" }\n'
        '[channels.mail]\nadapter = "smpt"\n'
        '[channels.log]\nadapter = "log"\n'
        f'[channels.news]\nadapter = "log"\ntemplates = "{tmp_path / "none"}"\n'
    )
    variable = "CHIMEWAYD_CHANNELS__SLOW__SETTINGS__DELAY"
    given = {"CHIMEWAYD_CHANNELS__SLOW__ADAPTER": "sink", variable: "soon"}

    with pytest.raises(ConfigErrors) as caught:
        make_adapters(load(file, given))

    assert {error.setting: error.source for error in caught.value.errors} == {
        "channels.hooks.settings.methd": str(file),
        "channels.mail.adapter": str(file),
        "channels.news.templates": str(file),
        "channels.slow.settings.delay": f"environment variable {variable}",
    }


def test_only_the_channels_that_are_named_are_made() -> None:
    given = {f"CHIMEWAYD_CHANNELS__{name}__ADAPTER": "sink" for name in ("A", "B")}

    assert make_adapters(load(None, given), ["b"]).keys() == {"b"}

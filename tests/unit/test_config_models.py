"""Settings made directly, as tests and reloads make them."""

import pytest
from pydantic import BaseModel, ValidationError

from chimewayd.config import Settings
from chimewayd.config_channel import RetryPolicy

SECRET = "s3cret"


@pytest.mark.parametrize(("model", "name"), [(Settings, "lease"), (RetryPolicy, "base")])
def test_pydantic_itself_repeats_no_value(model: type[BaseModel], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model(**{name: SECRET})

    assert SECRET not in str(caught.value)


def test_settings_made_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIMEWAYD_CONCURRENCY", "7")

    assert Settings().concurrency == 100

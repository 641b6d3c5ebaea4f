"""What a payload names, and what the adapter is given for it: plain decisions."""

import json
from pathlib import Path

import pytest

from chimewayd.config_channel import ChannelConfig
from chimewayd.errors import ConfigError
from chimewayd.models import Permanent
from chimewayd.templates.templated import Wanted, check_folder, join, read


@pytest.mark.parametrize(
    "payload",
    [
        '{"subject": "Hi"}',
        '{"text": "a \\"template\\" in a text"}',
        '{"deeper": {"template": "x"}}',
        '["template"]',
        '"template"',
    ],
)
def test_payload_that_names_no_template_is_left_to_the_adapter(payload: str) -> None:
    assert read(payload) is None


def test_named_template_is_read_with_its_data_and_the_fields_beside_it() -> None:
    wanted = read('{"template": "shipped", "data": {"n": 123456789012345678901}, "cc": ["bob"]}')

    assert wanted == Wanted("shipped", {"n": 123456789012345678901}, {"cc": ["bob"]})


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"template": 5}', "payload: template must be a text, the name of a template"),
        ('{"template": null}', "payload: template must be a text, the name of a template"),
        ('{"template": "x", "data": []}', "payload: data must be a JSON object"),
    ],
)
def test_payload_that_names_it_wrongly_is_refused(payload: str, said: str) -> None:
    assert read(payload) == Permanent(detail=said)


@pytest.mark.parametrize(
    "payload",
    [
        '{"template": ',
        '{"template": ' + "[" * 100_000,
        '{"data": {"n": ' + "[" * 3000 + "]" * 3000 + '}, "template": "x"}',
        '{"data": {"n": 1' + "0" * 5000 + '}, "template": "x"}',
    ],
    ids=["cut", "cut and deep", "deep", "number"],
)
def test_payload_that_cannot_be_read_is_never_sent_as_it_is(payload: str) -> None:
    refused = read(payload)

    assert isinstance(refused, Permanent)
    assert "too long, or it is nested too deep" in (refused.detail or "")


def test_adapter_is_given_what_was_rendered_and_the_fields_beside_it() -> None:
    payload_json = join(Wanted("x", {}, {"cc": ["bob"]}), {"text": "☃"})

    assert isinstance(payload_json, str)
    assert json.loads(payload_json) == {"text": "☃", "cc": ["bob"]}


def test_rendered_payload_that_is_no_object_takes_no_fields_beside_it() -> None:
    assert join(Wanted("x", {}, {}), [1]) == "[1]"
    refused = join(Wanted("x", {}, {"cc": 1}), [1])
    assert isinstance(refused, Permanent)
    assert "'x' renders no JSON object" in (refused.detail or "")


def test_field_that_is_given_and_rendered_is_refused() -> None:
    refused = join(Wanted("x", {}, {"text": 1}), {"text": "a"})

    assert refused == Permanent(detail="payload: text is rendered by template 'x' too")


@pytest.mark.parametrize("folder", ["/nowhere/at/all", "templates", "/etc/passwd"])
def test_folder_that_is_none_stops_the_start(folder: str) -> None:
    channel = ChannelConfig.model_validate({"adapter": "sink", "templates": folder})

    with pytest.raises(ConfigError) as caught:
        check_folder("mail", channel.templates or Path())

    assert caught.value.setting == "channels.mail.templates"

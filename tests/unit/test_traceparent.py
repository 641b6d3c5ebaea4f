"""The trace of a delivery, as W3C Trace Context wants it."""

import json

import pytest

from chimewayd.traceparent import parts, traceparent_of

VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "metadata",
    [{"traceparent": VALID}, {"shop": 7, "traceparent": VALID, "deep": {"traceparent": "x"}}],
)
def test_valid_trace_is_taken_from_the_metadata(metadata: object) -> None:
    assert traceparent_of(json.dumps(metadata)) == VALID


@pytest.mark.parametrize(
    "metadata_json",
    [
        "{}",
        '{"traceparent": null}',
        '{"traceparent": 7}',
        '{"traceparent": ""}',
        '{"deep": {"traceparent": "' + VALID + '"}}',
        '{"note": "\\"traceparent\\""}',
        '["traceparent"]',
        '{"traceparent": "' + VALID,
        json.dumps({"traceparent": VALID.upper()}),
        json.dumps({"traceparent": VALID + "\r\nX-Evil: 1"}),
        json.dumps({"traceparent": VALID + "\n"}),
        json.dumps({"traceparent": " " + VALID}),
        json.dumps({"traceparent": "ff" + VALID[2:]}),
        json.dumps({"traceparent": "00-" + "0" * 32 + VALID[35:]}),
        json.dumps({"traceparent": VALID[:36] + "0" * 16 + "-01"}),
        '{"traceparent": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_what_is_no_valid_trace_is_none(metadata_json: str) -> None:
    assert traceparent_of(metadata_json) is None


def test_trace_has_parts() -> None:
    assert parts(VALID) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "01")
    with pytest.raises(ValueError, match="no valid traceparent"):
        parts("00-1-2-3")

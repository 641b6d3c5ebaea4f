"""The error tree: exit statuses, messages, and SQLSTATEs that arrive by themselves."""

import asyncpg
import pytest

from chimewayd import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ChimewaydError, 1),
        (errors.ConfigError, 78),
        (errors.ConfigErrors, 78),
        (errors.SchemaMismatch, 75),
        (errors.MigrationDrift, 78),
        (errors.DatabaseUnavailable, 69),
        (errors.UnexpectedAnswer, 1),
        (errors.TryAgain, 75),
        (errors.DeliveryNotFound, 3),
        (errors.TransitionRefused, 1),
        (errors.InvalidArgument, 2),
    ],
)
def test_each_error_has_its_exit_status(error: type[errors.ChimewaydError], status: int) -> None:
    assert error.exit_code == status
    assert issubclass(error, errors.ChimewaydError)


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("NC001", errors.DeliveryNotFound),
        ("NC002", errors.TransitionRefused),
        ("NC003", errors.InvalidArgument),
    ],
)
def test_asyncpg_raises_our_class_for_our_sqlstate(
    sqlstate: str, error: type[asyncpg.PostgresError]
) -> None:
    from_server = {"S": "ERROR", "C": sqlstate, "M": "delivery 7 is cancelled"}

    raised = asyncpg.PostgresError.new(from_server)

    assert type(raised) is error
    assert str(raised) == "delivery 7 is cancelled"


def test_a_config_error_is_one_line_with_source_and_what_is_allowed() -> None:
    error = errors.ConfigError("lease", "too short", "3s to 1h", "/etc/x.toml")

    assert str(error) == "lease (/etc/x.toml): too short; allowed: 3s to 1h"


def test_a_config_error_leaves_out_what_is_not_known() -> None:
    assert str(errors.ConfigError("lease", "too short")) == "lease: too short"


def test_several_config_errors_are_a_line_each() -> None:
    both = errors.ConfigErrors([errors.ConfigError("a", "x"), errors.ConfigError("b", "y")])

    assert str(both) == "a: x\nb: y"
    assert [error.setting for error in both.errors] == ["a", "b"]


def test_a_schema_mismatch_says_what_to_do() -> None:
    message = str(errors.SchemaMismatch(found="0001", needed="0002"))

    assert "0001" in message
    assert "0002" in message
    assert "`chimewayd migrate`" in message

"""migrate.pending: what is left to apply, decided from the ledger alone."""

from pathlib import Path

import pytest

from chimewayd import migrate
from chimewayd.errors import MigrationDrift

INITIAL = "0001_initial"


def ledger(**changes: str) -> dict[str, str]:
    """Return the ledger of an up-to-date database, with changes."""
    scripts = (*migrate.migrations(), migrate.functions())
    return {script.name: script.checksum for script in scripts} | changes


def names(scripts: list[migrate.Script]) -> list[str]:
    return [script.name for script in scripts]


def test_empty_database_needs_everything_in_order_functions_last() -> None:
    todo = names(migrate.pending({}))

    assert todo[0] == INITIAL
    assert todo[:-1] == sorted(todo[:-1])
    assert todo[-1] == migrate.FUNCTIONS


def test_up_to_date_database_needs_nothing() -> None:
    assert migrate.pending(ledger()) == []


def test_changed_functions_are_applied_alone() -> None:
    assert names(migrate.pending(ledger(functions="old"))) == [migrate.FUNCTIONS]


def test_missing_functions_are_applied() -> None:
    applied = ledger()
    del applied[migrate.FUNCTIONS]

    assert names(migrate.pending(applied)) == [migrate.FUNCTIONS]


def test_new_migration_brings_the_functions_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    new = migrate.Script("0999_new", "select 1", "x")
    known = (*migrate.migrations(), new)
    applied = ledger()
    monkeypatch.setattr(migrate, "migrations", lambda: known)

    assert names(migrate.pending(applied)) == ["0999_new", migrate.FUNCTIONS]


def test_edited_migration_is_drift() -> None:
    with pytest.raises(MigrationDrift, match="0001_initial was applied with another text"):
        migrate.pending(ledger(**{INITIAL: "edited"}))


def test_unknown_migration_is_drift_and_asks_for_its_release() -> None:
    with pytest.raises(MigrationDrift, match=r"9999_later, .* does not know: .* install that"):
        migrate.pending(ledger(**{"9999_later": "x"}))


def test_checksum_does_not_depend_on_line_ends(tmp_path: Path) -> None:
    checksums = []
    for text in (b"select 1;\nselect 2;\n", b"select 1;\r\nselect 2;\r\n"):
        (tmp_path / "0001_initial.sql").write_bytes(text)
        checksums += [script.checksum for script in migrate._read(tmp_path, r".*\.sql")]

    assert checksums[0] == checksums[1]

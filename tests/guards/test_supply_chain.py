"""What we stand on: licences that are known, and an audit that does not pass unseen."""

from typing import Any

import pytest
import supply_chain


def test_every_package_has_a_licence_that_is_known_and_permitted() -> None:
    found = {each.name: each.licence for each in supply_chain.packages()}

    assert {"asyncpg", "anyio", "aiohttp"} <= found.keys()
    assert {name for name, said in found.items() if not supply_chain.is_permitted(said)} == set()


@pytest.mark.parametrize(
    ("licence", "permitted"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("Proprietary", False),
        (None, False),
    ],
)
def test_licence_is_permitted_if_all_that_it_asks_for_is(
    licence: str | None, permitted: bool
) -> None:
    assert supply_chain.is_permitted(licence) is permitted


def test_licence_is_read_where_it_is_said_best() -> None:
    mit, isc = (
        "License :: OSI Approved :: MIT License",
        "License :: OSI Approved :: ISC License (ISCL)",
    )

    assert supply_chain.licence_of("MIT", [isc], "ISC") == "MIT"
    assert supply_chain.licence_of(None, [mit, isc, "Typing :: Typed"], "x") == "MIT AND ISC"
    assert supply_chain.licence_of(None, [], "Apache 2.0") == "Apache-2.0"
    assert supply_chain.licence_of(None, [], "Be Excellent Licence") is None
    assert supply_chain.licence_of(None, [], None) is None


FOUND = {"name": "one", "version": "1", "vulns": []}
SKIPPED = {"name": "two", "skip_reason": "not known"}
HOLE = FOUND | {"vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


def test_audit_of_everything_passes() -> None:
    assert supply_chain.judge_audit({"dependencies": [FOUND]}, 1).startswith("1 packages")


@pytest.mark.parametrize(
    ("dependencies", "told"),
    [
        ([HOLE], "one 1: PYSEC-1, mended in 2"),
        ([SKIPPED], "0 of 1"),
        ([FOUND, SKIPPED], "1 of 2"),
        ([], "0 of 1"),
    ],
)
def test_audit_that_found_a_hole_or_could_not_look_fails(
    dependencies: list[dict[str, object]], told: str
) -> None:
    with pytest.raises(supply_chain.AuditFailed, match=told):
        supply_chain.judge_audit({"dependencies": dependencies}, max(len(dependencies), 1))


def page(name: str, version: str, *holes: str) -> dict[str, Any]:
    found = [{"id": hole, "fixed_in": ["9"], "withdrawn": None} for hole in holes]
    return {"info": {"name": name, "version": version}, "vulnerabilities": found}


BAD = page("pycrypto", "2.6.1", "PYSEC-0")
TWO = supply_chain.Package("two", "2", "MIT")


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({"pycrypto": BAD, "two": page("two", "2")}, "1 packages, no known"),
        ({"pycrypto": BAD, "two": page("two", "2", "PYSEC-2")}, "two 2: PYSEC-2, mended in 9"),
        ({"pycrypto": BAD, "two": page("two", "3")}, "0 of 1"),
        ({"pycrypto": BAD}, "0 of 1"),
        ({"pycrypto": page("pycrypto", "2.6.1"), "two": page("two", "2")}, "0 of 1"),
        ({"two": page("two", "2")}, "0 of 1"),
    ],
)
def test_what_was_skipped_is_audited_by_a_page_of_its_version_from_who_knows_holes(
    pages: dict[str, dict[str, Any]], told: str
) -> None:
    looked = supply_chain.second_look([TWO], [SKIPPED], pages.get)

    try:
        said = supply_chain.judge_audit({"dependencies": looked}, 1)
    except supply_chain.AuditFailed as failed:
        said = str(failed)

    assert told in said

"""What the documents say is true: files exist, lists are whole, examples run."""

import re
import runpy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import engine
import pytest
from faults.cases import CASES
from faults.targets import TARGETS

from chimewayd import adapters, config
from chimewayd.cli import chimewayd
from chimewayd.errors import ConfigError
from chimewayd.log import Event

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
NAMES = (
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "sql/README.md", "CHANGELOG.md"),
    *("tests/faults/README.md", "tests/model/README.md", "chimewayd/adapters/README.md"),
    *("SECURITY.md", "deploy/README.md", "deploy/commands.md", "deploy/producers.md"),
)
DOCUMENTS = [ROOT / name for name in NAMES]
README, ARCHITECTURE, CONTRIBUTING, SQL_README = DOCUMENTS[:4]
FAULTS = ROOT / "tests/faults/README.md"


def section(document: Path, heading: str) -> str:
    """Return the text between a heading of the second level and the next."""
    _, found, rest = document.read_text("utf-8").partition(f"\n## {heading}\n")
    assert found, f"{document.name} has no section {heading}"
    return rest.partition("\n## ")[0]


def column(text: str, nth: int) -> list[str]:
    """Return what is in backquotes in a column of the section's tables, in order."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[nth])]


def differences(documented: Iterable[str], existing: Iterable[str]) -> list[str]:
    """Say what is missing from a list, and what it has too much."""
    told, there = set(documented), set(existing)
    missing = [f"not documented: {name}" for name in sorted(there - told)]
    return missing + [f"does not exist: {name}" for name in sorted(told - there)]


def blocks(document: Path, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def anchors(document: Path) -> set[str]:
    """Return the fragments of a document's headings, as its host derives them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def declared_dependencies() -> set[str]:
    """Return the names of the packages that pyproject.toml asks for, but for our own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = [project["build-system"]["requires"], project["project"]["dependencies"], *extras]
    names = {re.split(r"[^\w.-]", wanted)[0] for group in groups for wanted in group}
    return names - {"chimewayd"}


def test_readme_where_is_points_to_files_that_exist() -> None:
    named = column(section(README, "Where is …?"), 2)

    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", document.read_text("utf-8"))

    broken = [
        f"{path}#{anchor}"
        for path, anchor in links
        if not (target := document.parent / path if path else document).is_file()
        or (anchor and anchor not in anchors(target))
    ]

    assert broken == []


def test_code_map_names_every_module_and_no_other() -> None:
    named = column(section(ARCHITECTURE, "Code map"), 1)
    modules = (ROOT / "chimewayd").rglob("*.py")

    assert differences(named, (str(module.relative_to(ROOT)) for module in modules)) == []


def test_sql_readme_names_every_function_and_no_other() -> None:
    named = column(section(SQL_README, "Functions"), 3)
    files = (ROOT / "sql/functions").glob("*.sql")

    assert differences(named, (file.stem for file in files)) == []


def test_log_events_are_all_documented_and_no_other() -> None:
    named = column(section(ARCHITECTURE, "Log events"), 1)

    assert differences(named, Event) == []


def test_each_dependency_has_a_reason_and_each_reason_a_dependency() -> None:
    named = column(section(CONTRIBUTING, "Dependencies"), 1)

    assert differences(named, declared_dependencies()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    named = re.findall(r"(?:`|^)make ([a-z][\w-]*)", document.read_text("utf-8"), re.MULTILINE)

    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_that_are_named_exist(document: Path) -> None:
    text = document.read_text("utf-8")

    named = re.findall(r"(?:`|bin/)chimewayd ([a-z][\w-]*)", text)

    assert [name for name in named if name not in chimewayd.commands] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = blocks(README, "sh")[0]

    assert "make test " in commands
    assert '"make check" "make test"' in (ROOT / ".ci/run").read_text("utf-8")


async def test_readme_sql_examples_run(connection: engine.Connection) -> None:
    examples = [block for block in blocks(README, "sql") if block.startswith(("insert", "select"))]
    ids = set(re.findall(r"'([0-9a-f-]{36})'", "".join(examples)))
    await engine.configure(connection, "orders")
    for delivery_id in ids:
        await engine.insert(connection, id=UUID(delivery_id), channel="orders")

    for example in examples:
        for statement in filter(str.strip, example.split(";\n")):
            rows = await connection.fetch(statement)
            assert statement.startswith("insert") or rows

    assert len(examples) >= 3
    assert await connection.fetchval("select count(*) from chimeway.jobs") == len(ids) + 1


async def test_readme_python_example_inserts_in_the_callers_transaction(
    connection: engine.Connection, tmp_path: Path
) -> None:
    example = blocks(README, "python")[0]
    (tmp_path / "ship.py").write_text(example, "utf-8")
    ship = runpy.run_path(str(tmp_path / "ship.py"))["ship"]
    await connection.execute("create table orders (id integer primary key, status text)")
    await connection.execute("insert into orders values (42, 'packed')")

    await ship(connection, 42, "https://example.org/hooks")

    row = await connection.fetchrow(
        "select d.payload ->> 'order' as number, d.idempotency_key, o.status, j.channel "
        "from chimeway.deliveries as d join chimeway.jobs as j on j.delivery_id = d.id, orders as o"
    )
    assert row is not None
    assert tuple(row) == ("42", "order-42-shipped", "shipped", "orders")


def test_readme_configuration_makes_its_channel(tmp_path: Path) -> None:
    (example,) = blocks(README, "toml")
    file = tmp_path / "config.toml"
    file.write_text(example, "utf-8")

    channel = config.load(file, environment={}).channels["orders"]

    adapters.make("orders", channel.adapter, channel.settings, channel.timeout)
    assert channel.retry.max_attempts == 8


def test_readme_environment_variable_is_a_setting(tmp_path: Path) -> None:
    (name,) = set(re.findall(r"CHIMEWAYD_CHANNELS\w+", README.read_text("utf-8")))
    file = tmp_path / "config.toml"
    file.write_text('channels.orders.adapter = "sink"\n', "utf-8")

    settings = config.load(file, environment={name: "7s"})

    assert settings.channels["orders"].retry.base.total_seconds() == 7
    with pytest.raises(ConfigError):
        config.load(file, environment={name + "S": "7s"})


def missing_tests(named: Iterable[str]) -> list[str]:
    """Return those of `file::test` that do not exist."""
    proofs = [name.split("::") for name in named]
    return [
        f"{file}::{test}"
        for file, test in proofs
        if f"def {test}(" not in (ROOT / file).read_text("utf-8")
    ]


def test_promises_are_proved_by_tests_that_exist() -> None:
    proofs = column(section(ARCHITECTURE, "Promises and their proofs"), 2)

    assert proofs
    assert missing_tests(proofs) == []


def test_failures_are_shown_by_tests_and_cases_that_exist() -> None:
    heading = "Failures, and what shows that they are survived"
    shown = set(column(section(FAULTS, heading), 4)) - {"ChimewaydNotifyQueueFills"}
    tests = {name for name in shown if "::" in name}

    assert tests
    assert missing_tests(tests) == []
    assert shown - tests - set(CASES) == set()


def test_every_number_of_the_catalogue_of_failures_has_its_line() -> None:
    heading = "Failures, and what shows that they are survived"
    lines = [line for line in section(FAULTS, heading).splitlines() if line.startswith("|")]
    numbers = [int(one) for line in lines for one in re.findall(r"\d+", line.split("|")[1])]

    assert sorted(numbers) == list(range(1, 49))


def test_targets_are_shown_by_cases_and_files_that_exist() -> None:
    unknown = {name for target in TARGETS for name in target.cases} - set(CASES)

    assert unknown == set()
    assert [target.number for target in TARGETS] == list(range(1, 28))
    assert [target.where for target in TARGETS if not (ROOT / target.where).exists()] == []

"""What chimewayd stands on: which packages, under which licences, with which known holes.

    python tests/supply_chain.py licences   each package that comes along, and its licence
    python tests/supply_chain.py audit      asks pip-audit about them; an audit of nothing fails
    python tests/supply_chain.py sbom       writes a bill of materials (CycloneDX) to sbom.json

pip-audit asks for each version by itself. Mirrors of the index often have no such page, but that of
the newest version, which is asked for then: it tells nothing of older ones, which stay unaudited.

Packages are those that an installation with every extra for running brings, in the versions that
are installed here; tools for development are not among them.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from pip._internal.models.index import PyPI  # the index is pip's to name

ROOT = Path(__file__).parents[1]
FOR_DEVELOPMENT = {"audit", "bench", "check", "package", "test"}
AUDIT_SECONDS = 300
PAGE_SECONDS = 30

PERMISSIVE = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Unlicense",
    ),
    "MPL-2.0",  # by file: what uses it as it is owes nothing
}
"""Licences under which a dependency may be shipped beside an Apache-2.0 program."""

SPOKEN = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What packages call their licence where they do not name it as SPDX does."""


@dataclass(frozen=True, slots=True)
class Package:
    """One that an installation brings."""

    name: str
    version: str
    licence: str | None
    """An SPDX expression; None: it names none that we know."""


KNOWN_TO_BE_BAD = Package("pycrypto", "2.6.1", None)
"""Its last version has holes that nobody will mend: who does not know them knows of none."""


class AuditFailed(Exception):  # noqa: N818 - says what happened
    """The audit found something, or could not look."""


def packages() -> list[Package]:
    """Return what an installation with all extras for running brings, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - FOR_DEVELOPMENT
    found: dict[str, metadata.Distribution] = {}
    wanted = [("chimewayd", extras)]
    while wanted:
        name, asked = wanted.pop()
        for text in metadata.distribution(name).requires or []:
            requirement = Requirement(text)
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if key == "chimewayd" or not _applies(requirement, asked):
                continue
            if key not in found or requirement.extras:
                found[key] = metadata.distribution(key)
                wanted.append((key, requirement.extras))
    return [
        Package(name, found[name].version, _licence(found[name].metadata)) for name in sorted(found)
    ]


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {*extras, ""})


def _licence(said: metadata.PackageMetadata) -> str | None:
    named = {key: said[key] for key in ("License-Expression", "License") if key in said}
    return licence_of(
        named.get("License-Expression"), said.get_all("Classifier") or [], named.get("License")
    )


def licence_of(expression: str | None, classifiers: list[str], name: str | None) -> str | None:
    """Return what a package's metadata says of its licence, as an SPDX expression."""
    if expression:
        return expression
    spoken = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    names = [_spdx(each) for each in spoken or [name or ""]]
    return " AND ".join(each for each in names if each) if all(names) else None


def _spdx(name: str) -> str | None:
    name = name.strip()
    return name if name in PERMISSIVE else SPOKEN.get(name.lower())


def is_permitted(licence: str | None) -> bool:
    """Whether every part of the expression is permitted, or one of each choice."""
    if licence is None:
        return False
    choices = re.sub(r"[()]", "", licence)
    return all(
        any(name.strip() in PERMISSIVE for name in part.split(" OR "))
        for part in choices.split(" AND ")
    )


def judge_audit(answer: Mapping[str, object], asked: int) -> str:
    """Say what pip-audit found, in a line.

    Raises:
        AuditFailed: a known hole, or packages that it could not look up.
    """
    dependencies = answer["dependencies"]
    assert isinstance(dependencies, list)
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    holes = [
        f"{each['name']} {each['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for each in dependencies
        for hole in each.get("vulns", [])
    ]
    if holes:
        raise AuditFailed("\n".join(holes))
    looked_up = len(dependencies) - len(skipped)
    if skipped or looked_up < asked:
        raise AuditFailed(
            f"{looked_up} of {asked} packages could be audited, the others are not known to the "
            f"vulnerability service: {', '.join(skipped) or 'it answered for fewer than asked'}"
        )
    return f"{looked_up} packages, no known vulnerability"


def audit() -> str:
    """Ask pip-audit about the packages, pinned to what is installed.

    Raises:
        AuditFailed: see `judge_audit`; or no answer from the vulnerability service.
    """
    pinned = packages()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "requirements.txt")
        file.write_text("".join(f"{each.name}=={each.version}\n" for each in pinned), "utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps"]
        command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        try:
            asked = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise AuditFailed(f"nothing was audited: no answer in {AUDIT_SECONDS} s") from error
    try:
        answer = json.loads(asked.stdout)
    except ValueError:
        why = asked.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        raise AuditFailed(f"nothing was audited: {why[0]}") from None
    answer["dependencies"] = second_look(pinned, answer["dependencies"], _page)
    return judge_audit(answer, len(pinned))


Page = Callable[[str], Mapping[str, Any] | None]


def second_look(
    pinned: Iterable[Package], found: Sequence[Mapping[str, Any]], page: Page
) -> list[Mapping[str, Any]]:
    """Ask about what pip-audit skipped: the page of a package tells about its newest version."""
    versions = {each.name: each for each in pinned}
    if not any("skip_reason" in each for each in found):
        return list(found)
    control = newest(KNOWN_TO_BE_BAD, page(KNOWN_TO_BE_BAD.name))
    if control is None or not control["vulns"]:
        return list(found)
    looked = []
    for each in found:
        package = versions.get(each["name"]) if "skip_reason" in each else None
        looked.append((package and newest(package, page(package.name))) or each)
    return looked


def newest(package: Package, page: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what the page says of the package, as pip-audit would; None: nothing about it."""
    if page is None or page["info"]["version"] != package.version:
        return None
    holes = [
        {"id": hole["id"], "fix_versions": hole["fixed_in"]}
        for hole in page["vulnerabilities"]
        if not hole.get("withdrawn")
    ]
    return {"name": package.name, "version": package.version, "vulns": holes}


def _page(name: str) -> Mapping[str, Any] | None:
    try:
        with urllib.request.urlopen(f"{PyPI.pypi_url}/{name}/json", timeout=PAGE_SECONDS) as answer:  # noqa: S310 - https
            page: Mapping[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return None
    return page


def sbom() -> str:
    """Write the bill of materials: those packages and no others."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", "pyproject.toml"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(made.stdout)
    names = {each.name for each in packages()}
    document["components"] = [
        each
        for each in document["components"]
        if re.sub(r"[-_.]+", "-", each["name"]).lower() in names
    ]
    references = {each["bom-ref"] for each in document["components"]}
    references.add(document["metadata"]["component"]["bom-ref"])
    document["dependencies"] = [
        each | {"dependsOn": [ref for ref in each.get("dependsOn", []) if ref in references]}
        for each in document["dependencies"]
        if each["ref"] in references
    ]
    (ROOT / "sbom.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return f"sbom.json: {len(document['components'])} components"


def licences() -> str:
    """List the packages with their licences.

    Raises:
        AuditFailed: one is not known or not permitted.
    """
    found = packages()
    wrong = [f"{each.name}: {each.licence}" for each in found if not is_permitted(each.licence)]
    if wrong:
        raise AuditFailed("licence not known or not permitted: " + "; ".join(wrong))
    return "\n".join(f"{each.name} {each.version}: {each.licence}" for each in found)


def main(command: str) -> int:
    """Run one of the commands; return its exit status."""
    try:
        print({"audit": audit, "licences": licences, "sbom": sbom}[command]())  # noqa: T201 - a command's output
    except AuditFailed as error:
        print(f"{command} FAILED: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

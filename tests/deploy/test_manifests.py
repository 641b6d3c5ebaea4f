"""Image, composition and manifest: what they say of the daemon is true of it.

No container engine is needed for that, and none is started.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimewayd import config
from chimewayd.cli import chimewayd as commands
from chimewayd.config import Settings
from chimewayd.startup import make_adapters

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
LAST_SECONDS = 15


def manifests() -> dict[str, Any]:
    """Return the manifest's parts by kind."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents}


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def container(kind: str) -> Any:
    (only,) = manifests()[kind]["spec"]["template"]["spec"]["containers"]
    return only


@pytest.fixture
def in_pod(tmp_path: Path) -> Settings:
    """The settings as the pod's daemon reads them."""
    file = tmp_path / "config.toml"
    file.write_text(manifests()["ConfigMap"]["data"]["config.toml"], "utf-8")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, value in manifests()["Secret"]["stringData"].items():
        (credentials / name).write_text(value, "utf-8")
    given = {"CREDENTIALS_DIRECTORY": str(credentials)} | {
        entry["name"]: "pod-1"
        for entry in container("Deployment")["env"]
        if entry["name"].startswith("CHIMEWAYD_")
    }
    return config.load(file, given)


def test_settings_of_the_manifest_are_right(in_pod: Settings) -> None:
    assert make_adapters(in_pod).keys() == {"orders"}
    assert in_pod.name == "pod-1"
    assert "REPLACE" in in_pod.dsn.get_secret_value()


@pytest.mark.long
def test_manifest_fits_the_cluster_s_own_schemas() -> None:
    # 22 MB of schemas, which not every run of the tests is to fetch.
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate"
    )

    for document in manifests().values():
        for version in ("1.25", "1.30", kubernetes.latest_version()):
            kubernetes.validate(document, version, strict=True)


def test_probes_ask_where_the_daemon_answers(in_pod: Settings) -> None:
    pod = container("Deployment")
    probes = [pod[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]

    assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert {probe["port"] for probe in probes} == {"http"}
    assert str(in_pod.http_listen) == f"0.0.0.0:{pod['ports'][0]['containerPort']}"


def test_whoever_stops_it_waits_longer_than_the_calls_may_take(in_pod: Settings) -> None:
    seconds = in_pod.shutdown_grace.total_seconds() + LAST_SECONDS
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] >= seconds
    assert compose()["services"]["daemon"]["stop_grace_period"] == "45s"


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_containers_run_commands_that_exist_and_may_nothing(kind: str) -> None:
    pod = manifests()[kind]["spec"]["template"]["spec"]

    assert container(kind)["args"][0] in commands.commands
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container(kind)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_composition_s_settings_are_right(tmp_path: Path) -> None:
    daemon = compose()["services"]["daemon"]
    (tmp_path / "dsn").write_text("postgresql://postgres@database/postgres")
    given = daemon["environment"] | {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    settings = config.load(None, given)

    assert make_adapters(settings).keys() == {"log"}
    assert daemon["command"][0] in commands.commands
    assert str(settings.http_listen) in daemon["healthcheck"]["test"][-1]


def test_migration_is_over_before_the_composition_s_daemon_begins() -> None:
    services = compose()["services"]

    assert services["migrate"]["command"] == ["migrate"]
    assert services["daemon"]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }


def test_image_copies_what_exists_and_runs_as_a_number() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
        for name in line.split()
    ]

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"chimewayd", "sql", "pyproject.toml"} <= set(copied)
    assert "--require-hashes" in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["chimewayd"]\nCMD ["run"]' in text

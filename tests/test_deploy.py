"""The files that people copy to run it: each names real commands and options, and keeps the runner
alone on its journal."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.cli_parser import build_parser

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PROGRAM = "/opt/stockade/bin/stockade"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
STATE = "/var/lib/stockade"


def parsed(words: list[str]) -> Any:
    """As the command line reads them. Errors: `AssertionError` for a line that it refuses."""
    program, *arguments = words
    assert program == PROGRAM
    try:
        return build_parser().parse_args(arguments)
    except SystemExit as refused:
        raise AssertionError(f"stockade refuses {arguments}") from refused


def unit(name: str) -> configparser.ConfigParser:
    """Keys as systemd writes them; a key that comes twice is a fault."""
    found = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(DEPLOY / "systemd" / name, encoding="utf-8")
    return found


def documents(name: str) -> dict[str, Any]:
    """A manifest's documents by kind."""
    text = (DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pods() -> list[Any]:
    deployment = documents("deployment.yaml")["Deployment"]["spec"]["template"]["spec"]
    job = documents("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]
    return [deployment, job["template"]["spec"]]


# -- cron ------------------------------------------------------------------------------------------


def test_crontab_then_its_one_line_is_a_tick_each_minute_under_the_account() -> None:
    text = (DEPLOY / "cron" / "stockade").read_text(encoding="utf-8")
    assert text.endswith("\n"), "cron leaves out a last line without its end"
    (line,) = [one for one in text.splitlines() if one.startswith("*")]
    *when, account, command = line.split(maxsplit=6)
    assert when == ["*"] * 5
    assert account == "stockade"
    assert "%" not in command, "cron makes a line break of it"
    assert parsed(shlex.split(command)).command == "run"


# -- systemd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [("stockade.service", "serve", "exec"), ("stockade-run.service", "run", "oneshot")],
)
def test_unit_then_it_starts_a_command_that_exists_in_a_fence(
    name: str, command: str, kind: str
) -> None:
    service = unit(name)["Service"]
    assert parsed(shlex.split(service["ExecStart"])).command == command
    assert service["Type"] == kind
    assert service["User"] == "stockade"
    assert STATE.endswith("/" + service["StateDirectory"])
    assert (service["StateDirectoryMode"], service["UMask"]) == ("0700", "0077")
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")
    assert service["CapabilityBoundingSet"] == ""


def test_timer_then_it_starts_the_tick() -> None:
    timer = unit("stockade-run.timer")
    assert timer["Timer"]["OnCalendar"] == "minutely"
    assert (DEPLOY / "systemd" / "stockade-run.service").exists(), "found by the same name"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)
def test_units_then_systemd_itself_has_nothing_to_say(tmp_path: Path) -> None:
    for file in UNITS:
        text = file.read_text(encoding="utf-8").replace(PROGRAM, sys.executable)
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # It may complain of units of the machine that it runs on.
    assert [line for line in done.stderr.splitlines() if "stockade" in line] == []


# -- Kubernetes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifest_then_its_modes_are_octal_and_each_document_has_kind_and_name(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for document in yaml.safe_load_all(text):
        assert document["apiVersion"]
        assert document["metadata"]["name"].startswith("stockade")
    assert all(mode.startswith("0") for mode in re.findall(r"defaultMode: (\d+)", text))


def test_pods_then_each_command_is_one_that_the_program_takes() -> None:
    started = [parsed([*c["command"], *c["args"]]).command for p in pods() for c in p["containers"]]
    assert started == ["serve", "run"]
    (container,) = pods()[0]["containers"]
    probes = [container[name]["exec"]["command"] for name in ("livenessProbe", "readinessProbe")]
    alive, ready = map(parsed, probes)
    assert (alive.command, alive.max_age) == ("status", None)
    assert (ready.command, ready.max_age.total_seconds()) == ("status", 300)


def test_pods_then_there_is_never_a_second_runner_on_the_volume() -> None:
    deployment = documents("deployment.yaml")["Deployment"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    job = documents("cronjob.yaml")["CronJob"]["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    claim = documents("volume.yaml")["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_pods_then_they_are_fenced_and_their_secrets_are_folders_of_files() -> None:
    claim = documents("volume.yaml")["PersistentVolumeClaim"]["metadata"]["name"]
    for pod in pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["fsGroupChangePolicy"] == "OnRootMismatch"
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "env" not in container, "secrets are files: a variable cannot be rotated"
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert set(mounts) == set(volumes)
        assert not any("subPath" in mount for mount in mounts.values())
        assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
        assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim
        assert mounts["state"]["mountPath"] == STATE


def test_deployment_then_only_monitoring_reaches_the_metrics_port() -> None:
    found = documents("deployment.yaml")
    (container,) = pods()[0]["containers"]
    (port,) = container["ports"]
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]
    assert rule["from"]


def test_files_then_the_documents_name_each_of_them() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    files = [file for file in DEPLOY.rglob("*") if file.is_file()]
    missing = [str(f.relative_to(ROOT)) for f in files if str(f.relative_to(ROOT)) not in text]
    assert missing == []
    assert len(files) == 7

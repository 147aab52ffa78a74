"""What `tests/servers/install.sh` makes of what fails: outages are skipped, faults are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "servers" / "install.sh"
TOOLS = {"id": "echo 0", "apt-get": "exit 0", "apt-cache": "exit 0", "dpkg": "exit 0"}


def install(
    folder: Path, scripts: dict[str, str], **tools: str | None
) -> subprocess.CompletedProcess[str]:
    """Run it beside these scripts, on a machine whose tools answer as given; None: it has none."""
    shutil.copy(SCRIPT, folder / "install.sh")
    for name, text in scripts.items():
        (folder / name).mkdir()
        (folder / name / "install.sh").write_text(text)
    bin_ = folder / "bin"
    bin_.mkdir()
    for tool in ("bash", "basename", "dirname", "mktemp", "timeout", "tail", "grep", "rm"):
        (bin_ / tool).symlink_to(shutil.which(tool) or tool)
    for tool, text in (TOOLS | tools).items():
        if text is not None:
            (bin_ / tool).write_text(f"#!{shutil.which('bash')}\n{text}\n")
            (bin_ / tool).chmod(0o755)
    return subprocess.run(
        ["bash", str(folder / "install.sh")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": str(bin_)},
        check=False,
    )


def test_install_when_all_goes_well_then_said_and_zero(tmp_path: Path) -> None:
    done = install(tmp_path, {"one": "exit 0", "two": "exit 0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["installed: one", "installed: two"]


@pytest.mark.parametrize(
    "said",
    [
        "E: Failed to fetch http://deb.example.test/x  Could not resolve 'deb.example.test'",
        "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/x/",
    ],
)
def test_install_when_a_mirror_is_out_then_loud_and_zero_and_the_rest_goes_on(
    tmp_path: Path, said: str
) -> None:
    done = install(tmp_path, {"one": f'echo "{said}" >&2; exit 100', "two": "exit 0"})
    assert done.returncode == 0
    assert "NOT INSTALLED, a mirror did not answer: one" in done.stderr
    assert said in done.stderr
    assert done.stdout == "installed: two\n"


@pytest.mark.parametrize(
    "fault",
    [
        "echo 'E: Unable to locate package request-tracker6' >&2; exit 100",
        "echo 'ERROR: No matching distribution found for matrix-synapse==0.0.0' >&2; exit 1",
        "set -e; no-such-command",
    ],
)
def test_install_when_it_is_our_fault_then_not_zero_and_the_rest_goes_on(
    tmp_path: Path, fault: str
) -> None:
    done = install(tmp_path, {"one": fault, "two": "exit 0"})
    assert done.returncode == 1
    assert "FAULT: one could not be installed" in done.stderr
    assert done.stdout == "installed: two\n"


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ({"id": "echo 1000"}, "not root"),
        ({"apt-get": None}, "no apt-get"),
        ({"dpkg": "exit 1", "apt-cache": "exit 1", "apt-get": "exit 100"}, "apt knows no"),
    ],
)
def test_install_when_this_machine_cannot_then_loud_and_zero(
    tmp_path: Path, tools: dict[str, str | None], why: str
) -> None:
    done = install(tmp_path, {"one": "exit 1"}, **tools)
    assert done.returncode == 0
    assert f"NOTHING IS INSTALLED: {why}" in done.stderr
    assert done.stdout == ""

"""The wheel, installed into an environment of its own, is a program that runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import runner

ROOT = Path(__file__).parent.parent
SHIPPED = ("runner", "connectors", "playbooks", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build leaves anything in the checkout. Needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        given = ROOT / name
        if given.is_dir():
            shutil.copytree(given, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(given, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its `bin` folder.

    The locked dependencies come from this test's own environment by a plain path, which does not
    bring along what is installed there as editable.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    return folder / "bin"


def pip(*arguments: str | Path) -> None:
    run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def run(command: list[str | Path], *, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_wheel_holds_every_module_and_playbook_and_nothing_else(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("runner", "connectors", "playbooks")
        for pattern in ("*.py", "*.yaml")
        for path in (ROOT / package).rglob(pattern)
    }
    assert wanted <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {
        "runner",
        "connectors",
        "playbooks",
        "stockade",
    }


def test_wheel_holds_the_emulators_data(wheel: Path) -> None:
    data = ROOT / "connectors" / "emulators" / "data"
    wanted = {path.relative_to(ROOT).as_posix() for path in data.rglob("*") if path.is_file()}
    assert wanted
    assert wanted <= set(ZipFile(wheel).namelist())


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {
        path.parent
        for package in ("runner", "connectors", "playbooks")
        for path in (ROOT / package).rglob("*.py")
    }
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_installed_program_runs_its_own_code(installed: Path, tmp_path: Path) -> None:
    told = "import runner, playbooks; print(runner.__file__, playbooks.__file__)"
    where = run([installed / "python", "-c", told], cwd=tmp_path)
    assert all(path.startswith(str(installed.parent)) for path in where.split())


def test_installed_program_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert runner.__version__ in run([installed / "stockade", "--version"], cwd=tmp_path)


def test_installed_program_finds_its_playbooks_and_no_fault_in_them(
    installed: Path, tmp_path: Path
) -> None:
    run([installed / "stockade", "lint"], cwd=tmp_path)


def test_installed_program_plays_the_demo_to_its_end(installed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    command: list[str | Path] = [installed / "stockade", "demo", "--unattended", "--json"]
    told = json.loads(run([*command, "--state", state], cwd=tmp_path))
    assert told
    assert any(state.iterdir())

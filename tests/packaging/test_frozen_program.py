"""A program that PyInstaller has packed runs where the package is not installed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("frozen_program.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("PyInstaller") is None, reason="PyInstaller is not installed here: nox -s package"
    ),
]


def test_the_hooks_are_found_by_their_entry_point() -> None:
    found = metadata.entry_points(group="pyinstaller40")
    entries = [one for one in found if one.value.startswith("carbon_callbacks.")]
    if not entries:
        pytest.skip("the package is not installed here")
    (directory,) = entries[0].load()()
    assert {path.name for path in Path(directory).glob("hook-*.py")} == {
        "hook-carbon_callbacks.py",
        "hook-carbon_core.py",
    }


def test_a_frozen_program_measures_and_reads_its_tables(tmp_path: Path) -> None:
    build, work = tmp_path / "build", tmp_path / "work"
    work.mkdir()
    options = ["--onedir", "--noconfirm", "--log-level", "WARN", "--distpath", "dist"]
    options += ["--workpath", str(build), "--specpath", str(build)]
    done = subprocess.run(
        [sys.executable, "-m", "PyInstaller", *options, str(PROGRAM)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [str(tmp_path / "dist" / "frozen_program" / "frozen_program")],
        cwd=work,
        env={"HOME": str(work), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["frozen"] is True
    assert str(tmp_path / "dist") in said["package"]
    assert said["country"] == "France"
    assert said["kg"] > 0
    with (work / "emissions.csv").open(newline="") as file:
        assert [row["country_iso_code"] for row in csv.DictReader(file)] == ["FRA"]
    (receipt,) = (work / "carbon_runs").glob("*.receipt.json")
    assert json.loads(receipt.read_text())["intensities"][0]["source"].startswith("Ember")

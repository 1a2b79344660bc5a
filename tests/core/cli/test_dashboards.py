"""``carbon-callbacks dashboards``: the shipped files, as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carbon_callbacks.cli.app import app
from carbon_callbacks.cli.dashboards import FILES

SHIPPED = Path(__file__).parents[3] / "core" / "carbon_core" / "data" / "dashboards"


def test_the_files_are_written_as_shipped(tmp_path: Path) -> None:
    place = tmp_path / "new" / "directory"
    done = CliRunner().invoke(app, ["dashboards", str(place)])
    assert done.exit_code == 0
    assert {path.name for path in place.iterdir()} == set(FILES)
    assert set(FILES) == {path.name for path in SHIPPED.iterdir()}
    for name in FILES:
        assert (place / name).read_bytes() == (SHIPPED / name).read_bytes()
        assert str(place / name) in done.stdout.replace("\n", "")
    assert json.loads((place / FILES[0]).read_text())["panels"]
    assert CliRunner().invoke(app, ["dashboards", str(place)]).exit_code == 0


def test_a_changed_file_is_kept(tmp_path: Path) -> None:
    changed = tmp_path / FILES[1]
    changed.write_text("groups: []")
    done = CliRunner().invoke(app, ["dashboards", str(tmp_path)])
    assert done.exit_code == 2
    assert changed.read_text() == "groups: []"
    assert not (tmp_path / FILES[0]).exists()
    assert CliRunner().invoke(app, ["dashboards", str(tmp_path), "--force"]).exit_code == 0
    assert changed.read_bytes() == (SHIPPED / FILES[1]).read_bytes()


def test_of_a_larger_file_only_the_size_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / FILES[0]).open("wb") as file:
        file.truncate(6 * 2**30)
    monkeypatch.setattr(Path, "read_bytes", None)
    done = CliRunner().invoke(app, ["dashboards", str(tmp_path)])
    assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    assert "exists with other content" in done.output


def test_a_directory_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["dashboards", str(tmp_path / "file" / "below")])
    assert done.exit_code == 1
    assert "cannot write to" in done.output

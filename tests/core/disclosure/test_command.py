"""``carbon-callbacks disclose``, and the module for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.cli.conftest import Command, command
from core.disclosure.conftest import NAME
from core.outputs.conftest import report_of
from core.outputs.test_within import saved

from carbon_callbacks import disclosure

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

__all__ = ["command"]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_is_missing_is_listed_and_nothing_is_written(command: Command, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a"))
    before = files(tmp_path)
    asked = ("disclose", "--format", "gpai", "--output", "out", "--set", "offset_kg=1")
    ended = command(*asked)
    assert ended.returncode == 2
    assert ended.stdout == ""
    for key in ("model_name: ", "offset_source: "):
        assert key in ended.stderr
    assert files(tmp_path) == before
    ended = command(*asked, "--json")
    assert ended.returncode == 2
    keys = [one["key"] for one in json.loads(ended.stdout)["missing"]]
    assert keys == ["model_name", "offset_source"]


def test_documents_are_printed_or_written(command: Command, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=NAME))
    asked = ("disclose", ".", "--format", "gpai", "--set", f"model_name={NAME}", "--project", NAME)
    ended = command(*asked)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("# Computational resources and energy\n")
    data = json.loads(command(*asked, "--json").stdout)
    assert data["model_name"] == NAME
    ended = command(*asked, "--output", "out")
    assert ended.returncode == 0, ended.stderr
    assert files(tmp_path / "out") == ["gpai.json", "gpai.md"]
    assert json.loads((tmp_path / "out" / "gpai.json").read_text())["model_name"] == NAME
    told = json.loads(command(*asked, "--output", "new/form.json", "--json").stdout)
    assert told == {"format": "gpai", "files": ["new/form.json"]}
    ended = command(*asked, "--output", "form.txt")
    assert ended.returncode == 2
    assert ".md, .json" in ended.stderr


def test_a_model_card_that_is_there_is_edited(command: Command, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a"))
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\n---\n# Model\n")
    ended = command("disclose", "--format", "model-card", "--output", "README.md")
    assert ended.returncode == 0, ended.stderr
    assert card.read_text().startswith("---\nlicense: mit\nco2_eq_emissions:\n  emissions: ")
    assert card.read_text().endswith("---\n# Model\n")
    card.write_text("---\nco2_eq_emissions: [\n---\n")
    ended = command("disclose", "--format", "model-card", "--output", "README.md")
    assert ended.returncode == 2
    assert "README.md" in ended.stderr
    assert card.read_text() == "---\nco2_eq_emissions: [\n---\n"


def test_errors_name_what_was_found(command: Command, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=NAME))
    for arguments, text in {
        ("--project", "none"): "found are: a|b",
        ("--study", "none"): "found are: none",
        ("--set", "nonsense"): "must be key=value",
        ("--facts", "absent.json"): "absent.json",
    }.items():
        ended = command("disclose", "--format", "gpai", *arguments)
        assert ended.returncode == 2, arguments
        assert text in ended.stderr, ended.stderr
    ended = command("disclose", "--format", "nonsense")
    assert ended.returncode == 2
    assert "known are gpai, model-card" in ended.stderr


def test_programs_have_the_same(project: Path) -> None:
    runs = disclosure.collect([str(project)], project="digits")
    assert isinstance(runs, disclosure.Disclosed)
    with pytest.raises(disclosure.MissingFactsError) as found:
        disclosure.documents("gpai", runs)
    assert [one.key for one in found.value.missing] == ["model_name"]
    texts = disclosure.documents("gpai", runs, disclosure.Facts({"model_name": "a"}))
    assert texts.keys() == {"md", "json"}

"""``carbon-callbacks disclose``, and the module for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command, command
from core.disclosure.conftest import NAME
from core.outputs.conftest import report_of
from core.outputs.test_within import saved

from carbon_callbacks import disclosure

typer = pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

from carbon_callbacks.cli import disclose  # noqa: E402

__all__ = ["command"]

# Exit status, standard output, and standard error.
Ended = tuple[int, str, str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Return a function that runs the command in a directory, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, **options: Any) -> Ended:
        status = 0
        try:
            disclose.command(name, **options)
        except typer.Exit as error:
            status = error.exit_code
        return status, *capsys.readouterr()

    return run


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_is_missing_is_listed_and_nothing_is_written(
    run: Callable[..., Ended], tmp_path: Path
) -> None:
    saved(tmp_path, report_of("a"))
    before = files(tmp_path)
    status, shown, errors = run("gpai", output=Path("out"), settings=["offset_kg=1"])
    assert (status, shown) == (2, "")
    for key in ("model_name: ", "offset_source: "):
        assert key in errors
    status, shown, _ = run("gpai", output=Path("out"), settings=["offset_kg=1"], as_json=True)
    assert status == 2
    assert [one["key"] for one in json.loads(shown)["missing"]] == ["model_name", "offset_source"]
    assert files(tmp_path) == before


def test_the_command_prints_the_document(command: Command, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=NAME))
    asked = ("disclose", ".", "--format", "gpai", "--set", f"model_name={NAME}", "--project", NAME)
    ended = command(*asked)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("# Computational resources and energy\n")
    ended = command("disclose", "--format", "gpai")
    assert ended.returncode == 2
    assert "model_name" in ended.stderr


def test_documents_are_written(run: Callable[..., Ended], tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=NAME))
    asked = {"project": NAME, "settings": [f"model_name={NAME}"]}
    status, shown, _ = run("gpai", **asked, as_json=True)
    assert (status, json.loads(shown)["model_name"]) == (0, NAME)
    assert run("gpai", **asked, output=Path("out"))[0] == 0
    assert files(tmp_path / "out") == ["gpai.json", "gpai.md"]
    assert json.loads((tmp_path / "out" / "gpai.json").read_text())["model_name"] == NAME
    _, shown, _ = run("gpai", **asked, output=Path("new/form.json"), as_json=True)
    assert json.loads(shown) == {"format": "gpai", "files": [str(Path("new/form.json"))]}
    assert files(tmp_path / "new") == ["form.json"]
    status, _, errors = run("gpai", **asked, output=Path("form.txt"))
    assert status == 2
    assert ".md, .json" in errors
    (tmp_path / "a file").write_text("")
    status, _, errors = run("gpai", **asked, output=Path("a file/form.md"))
    assert status == 2
    assert "cannot write" in errors


def test_a_model_card_that_is_there_is_edited(run: Callable[..., Ended], tmp_path: Path) -> None:
    saved(tmp_path, report_of("a"))
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\n---\n# Model\n")
    assert run("model-card", output=card)[0] == 0
    assert card.read_text().startswith("---\nlicense: mit\nco2_eq_emissions:\n  emissions: ")
    assert card.read_text().endswith("---\n# Model\n")
    card.write_text("---\nco2_eq_emissions: 1\nco2_eq_emissions: 2\n---\n")
    status, _, errors = run("model-card", output=card)
    assert status == 2
    assert "README.md" in errors
    assert card.read_text().endswith("co2_eq_emissions: 2\n---\n")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"project": "none"}, "found are: a|b"),
        ({"study": "none"}, "found are: none"),
        ({"paths": [Path("nothing")]}, "no run found in nothing"),
        ({"settings": ["nonsense"]}, "must be key=value"),
        ({"facts": Path("absent.json")}, "absent.json"),
    ],
)
def test_errors_name_what_was_found(
    options: dict[str, Any], text: str, run: Callable[..., Ended], tmp_path: Path
) -> None:
    saved(tmp_path, report_of("a", project_name=NAME))
    status, shown, errors = run("gpai", **options)
    assert (status, shown) == (2, "")
    assert text in errors


def test_an_unknown_format_is_an_error_with_the_known_ones(run: Callable[..., Ended]) -> None:
    status, _, errors = run("nonsense")
    assert status == 2
    assert "known are gpai, model-card" in errors


def test_programs_have_the_same(project: Path) -> None:
    runs = disclosure.collect([str(project)], project="digits")
    assert isinstance(runs, disclosure.Disclosed)
    with pytest.raises(disclosure.MissingFactsError) as found:
        disclosure.documents("gpai", runs)
    assert [one.key for one in found.value.missing] == ["model_name"]
    texts = disclosure.documents("gpai", runs, disclosure.Facts({"model_name": "a"}))
    assert texts.keys() == {"md", "json"}


def test_printing_the_first_of_several_documents_names_how_to_get_all(
    run: Callable[..., Ended], project: Path
) -> None:
    facts = ["model_name=a", "task_family=b", "data_type=text", "infrastructure=other"]
    settings = [*facts, "run_kind=training"]
    status, shown, errors = run("boamps", paths=[project], settings=settings)
    assert status == 0
    assert json.loads(shown)["header"]["formatVersion"]
    count = len(
        run("boamps", paths=[project], settings=settings, output=Path("out"))[1].splitlines()
    )
    assert count > 1
    assert f"printed is the first of {count} documents; --output DIRECTORY writes all" in errors
    _, _, errors = run("gpai", paths=[project], settings=["model_name=a"])
    assert "documents" not in errors

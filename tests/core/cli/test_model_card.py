"""``carbon-callbacks model-card`` with receipts and cards that someone else left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from core.cli.conftest import kept
from core.outputs.conftest import report_of

from carbon_callbacks.cli import model_card
from carbon_core.outputs import receipt
from carbon_core.report import Phase

CARD = "---\nlanguage: no\n---\n# Title\n"


@pytest.mark.parametrize(
    "receipt",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"intensities": [], "run": {}, "training": {"emissions_kg": 1e999}}',
        '{"intensities": [[1]], "run": [], "training": 1}',
        '{"intensities": [], "run": {"package_version": 1}, "training": {"emissions_kg": 1%s}, "host": {}}'  # noqa: E501
        % ("0" * 400),
        '{"intensities": [], "run": {"package_version": 1}, "training": {"emissions_kg": 1}, "host": []}',  # noqa: E501
        '{"intensities": [], "run": {"package_version": 1}, "training": {"emissions_kg": NaN},'
        ' "host": {"gpu_models": [], "cpu_model": ""}}',
        '{"intensities": [], "run": {"package_version": 1}, "training": {"emissions_kg": 1},'
        ' "host": {"gpu_models": [{}], "cpu_model": ""}}',
    ],
)
def test_what_is_no_receipt_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], receipt: str
) -> None:
    card, path = tmp_path / "README.md", tmp_path / "receipt.json"
    card.write_text(CARD, encoding="utf-8")
    path.write_text(receipt, encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        model_card.run(tmp_path, receipt_path=path, training_type="")
    assert ended.value.exit_code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 1000 + len(str(tmp_path))
    assert card.read_text(encoding="utf-8") == CARD


def test_a_link_to_nothing_among_the_receipts_is_passed_over(tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    (tmp_path / "carbon_runs" / "x.receipt.json").symlink_to("nowhere")
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    model_card.run(tmp_path, receipt_path=None, training_type="")
    assert "co2_eq_emissions" in (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training", {"energy_kwh": 1.0, "emissions_kg": -5.0}),
        ("training", {"energy_kwh": 1.0, "emissions_kg": True}),
        ("training", {"energy_kwh": 1.0, "emissions_kg": 1e300}),
        ("host", {"gpu_models": "abc"}),
        ("schema_version", 99),
    ],
)
def test_a_receipt_that_no_other_command_reads_changes_no_card(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: object,
) -> None:
    monkeypatch.chdir(tmp_path)  # the working directory's receipts come next
    (path,) = (kept(tmp_path, 1.0) / "carbon_runs").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")
    card = tmp_path / "README.md"
    card.write_text(CARD, encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        model_card.run(tmp_path, receipt_path=None, training_type="")
    assert ended.value.exit_code == 2
    assert path.name in capsys.readouterr().err
    assert card.read_text(encoding="utf-8") == CARD


def evaluation_after(directory: Path, name: str = "evaluate") -> None:
    """Put the receipt of a later evaluation into a directory."""
    report = report_of("evaluation", kwh=1e-6, phases_synced=True)
    phases = (Phase("setup", 1.0, 1.0, 1), Phase(name, 1.0, 1.0, 1))
    path = directory / "carbon_runs" / f"evaluation{receipt.SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    receipt.write(replace(report, phases=phases, ended_at="2026-02-01T00:00:00+00:00"), path)


def emissions_g(directory: Path) -> float:
    (directory / "README.md").write_text(CARD, encoding="utf-8")
    model_card.run(directory, receipt_path=None, training_type="")
    (line,) = [
        line
        for line in (directory / "README.md").read_text("utf-8").splitlines()
        if line.strip().startswith("emissions:")
    ]
    return float(line.partition(":")[2])


def test_a_card_has_the_training_and_not_an_evaluation_after_it(tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    before = emissions_g(tmp_path)
    evaluation_after(tmp_path)
    assert emissions_g(tmp_path) == before


def test_a_training_here_is_found_where_the_model_s_directory_has_only_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept(tmp_path / "work", 1.0))
    evaluation_after(tmp_path / "model")
    assert emissions_g(tmp_path / "model") == pytest.approx(131.25)


def test_only_evaluations_are_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluation_after(tmp_path, "predict")
    with pytest.raises(typer.Exit) as ended:
        emissions_g(tmp_path)
    assert ended.value.exit_code == 2
    assert "only evaluations found" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text("utf-8") == CARD

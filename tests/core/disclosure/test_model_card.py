"""The model card of all runs of a project, as the Hub reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from core.disclosure.conftest import row_of, write_rows

from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import MissingFactsError, disclosure_documents


def test_the_hub_reads_the_emissions_of_all_runs(project: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="installed with transformers")
    runs = collect_runs([project], "digits")
    text = disclosure_documents("model-card", runs, Facts({"training_type": "fine-tuning"}))["md"]
    assert runs.emissions_kg is not None
    entry = hub.ModelCard(text).data.to_dict()["co2_eq_emissions"]
    assert entry["emissions"] == pytest.approx(1000 * runs.emissions_kg.value, abs=1e-3)
    assert entry["training_type"] == "fine-tuning"
    assert "CodeCarbon 3.3.2" in entry["source"]
    assert "carbon-callbacks 1.2.3" in entry["source"]
    assert "2 x A100" in entry["hardware_used"]
    assert entry["geographical_location"] in {"France", "FR"}, "the world is no location"


def test_a_history_of_codecarbon_alone_fills_the_card(tmp_path: Path) -> None:
    write_rows(tmp_path / "emissions.csv", row_of("a"), row_of("b"))
    text = disclosure_documents("model-card", collect_runs([tmp_path]), Facts())["md"]
    assert "  emissions: 200.0\n" in text
    assert "  geographical_location: nouvelle-aquitaine\n" in text


def test_a_project_without_a_known_energy_has_no_card(tmp_path: Path) -> None:
    write_rows(tmp_path / "emissions.csv", row_of("a", energy_consumed="", emissions=""))
    with pytest.raises(MissingFactsError, match="training_energy"):
        disclosure_documents("model-card", collect_runs([tmp_path]), Facts())

"""The EU's form for general-purpose AI models: a reader copies it line by line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from core.disclosure.conftest import NAME, row_of, write_rows
from core.outputs.conftest import report_of
from core.outputs.test_within import saved

from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import disclosure_documents
from carbon_core.disclosure.text import figure

GIVEN = {"model_name": NAME, "training_type": "pre-training", "parameters": 7.3e10}


def written(directory: Path, project: str = "", **facts: Any) -> tuple[str, dict[str, Any]]:
    """Return the Markdown, and the items of the form in JSON by key."""
    runs = collect_runs([directory], project)
    texts = disclosure_documents("gpai", runs, Facts({**GIVEN, **facts}))
    data = json.loads(texts["json"])
    return texts["md"], data


def answers(data: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["answer"] for one in (*data["items"], *data["beside_the_form"])}


def test_each_item_of_the_form_has_an_answer(project: Path) -> None:
    text, data = written(project, "digits")
    found = answers(data)
    energy = data["energy_mwh"]
    assert energy == pytest.approx((1.5 * 18.75 + 2.0) / 1000)
    assert found["energy"] == "0.0301 MWh"
    assert found["training_time_range"] == "less than 1 month"
    assert "days of wall clock" in found["training_time"]
    assert "hardware days (A100)" in found["training_time"]
    assert found["computation_order"] == "10^15 FLOP"
    assert found["computation"] == "6.00 x 10^15 FLOP"
    assert "1 of 10 runs" in found["computation_method"]
    assert "nvml.power" in found["energy_method"]
    assert "CodeCarbon 3.3.2" in found["energy_method"]
    assert "95 % interval" in found["energy_method"]
    assert "not supplied" in found["inference_computation"]
    assert data["energy_low_mwh"] < energy < data["energy_high_mwh"]
    assert len(data["runs"]) == 11
    for one in data["runs"]:
        assert len(re.findall(rf"^\| {re.escape(one['run_id'])} ", text, re.MULTILINE)) == 1
    assert "1 of 11 runs have an unknown energy" in text
    assert "1 run has no file here" in text
    assert "arket" not in text, "nothing is invented"
    assert "ffset" not in text
    assert str(project) not in text + json.dumps(data), "directories are not for others"


def test_location_based_emissions_are_always_there_and_others_beside_them(project: Path) -> None:
    _, alone = written(project, "digits")
    text, data = written(
        project,
        "digits",
        market_g_per_kwh=0.0,
        market_source="a contract",
        offset_kg=3.0,
        offset_source="a registry",
        embodied_kg=4.0,
        embodied_source="a datasheet",
    )
    key = "location_based_emissions_kg"
    assert data[key] == alone[key] > 0, "neither an offset nor a contract changes it"
    assert data["market_based_emissions_kg"] == 0.0
    assert alone["market_based_emissions_kg"] is None
    for one in ("a contract", "a registry", "a datasheet"):
        assert one in text


def test_a_run_that_another_one_counts_refers_to_it(project: Path) -> None:
    text, _ = written(project, "digits")
    (row,) = (line for line in text.splitlines() if line.startswith("| inner "))
    assert row.startswith("| inner (within outer) |")
    assert row.endswith("| in outer | in outer |")


def test_embodied_emissions_have_the_interval_that_was_given(project: Path) -> None:
    given = {"embodied_kg": 4.0, "embodied_source": "a datasheet"}
    text, data = written(project, "digits", **given, embodied_low_kg=3.0, embodied_high_kg=6.0)
    assert "4.00 kg CO2e (95 %: 3.00 to 6.00) (a datasheet)" in text
    keys = ("embodied_emissions_kg", "embodied_emissions_low_kg", "embodied_emissions_high_kg")
    assert [data[key] for key in keys] == [4.0, 3.0, 6.0]
    _, data = written(project, "digits", embodied_table="gpu")
    value, low, high = (data[key] for key in keys)
    assert 0 < low < value < high


def test_the_users_figures_count_before_those_of_runs(project: Path) -> None:
    given = {"flops": 2.44e25, "inference_flops": 5.1e17, "inference_method": "100,000 tokens"}
    _, data = written(project, "digits", **given, flops_method="6 N D")
    found = answers(data)
    assert found["computation_order"] == "10^25 FLOP"
    assert found["computation"] == "2.44 x 10^25 FLOP"
    assert found["computation_method"] == "6 N D"
    assert found["inference_computation"] == "5.10 x 10^17 FLOP"
    assert found["inference_method"] == "100,000 tokens"


def test_names_are_text_in_a_table(tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=NAME, kwh=1e-9))
    text, data = written(tmp_path, NAME, provider="[x](http://y) <b> `c`", energy_method="a|b\nc")
    assert len(data["runs"]) == 1
    assert data["model_name"] == NAME
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) in {4, 5, 10}, line
    assert "a\\|b" in text
    assert "<g>" not in text
    assert "[x\\](http" in text, "no link"
    assert answers(data)["energy"] == "1.50 x 10^-12 MWh"


def test_a_history_of_codecarbon_alone_fills_the_form(tmp_path: Path) -> None:
    write_rows(tmp_path / "emissions.csv", *(row_of(f"{i}") for i in range(3)))
    text, data = written(tmp_path, "digits")
    found = answers(data)
    assert found["energy"] == "0.00600 MWh"
    assert found["location"] == "nouvelle-aquitaine"
    assert found["hardware"] == "1 x NVIDIA A100, 1 x NVIDIA T4"
    assert "0.250 hardware days (NVIDIA A100)" in found["training_time"]
    assert "3 of 3 runs have no interval" in text
    assert found["energy_interval"] == "unknown", "a row has no interval"


def test_machines_without_gpus_and_with_unknown_ones_are_distinguished(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "emissions.csv",
        row_of("a"),
        row_of("b", gpu_count="0", gpu_model=""),
        row_of("c", gpu_count="", gpu_model=""),
    )
    _, data = written(tmp_path)
    time = answers(data)["training_time"]
    assert "0.0833 hardware days (NVIDIA A100)" in time
    assert "0.0833 machine days without GPU (A CPU)" in time
    assert "0.0833 machine days with unknown GPUs (A CPU)" in time


def test_long_trainings_are_in_the_ranges_of_the_form(tmp_path: Path) -> None:
    month_s = 365.25 / 12 * 86_400
    for months, expected in [
        (0.9, "less than 1"),
        (2, "1 to 3"),
        (5, "3 to 6"),
        (9, "more than 6"),
    ]:
        row = row_of("a", duration=f"{months * month_s}", timestamp="2026-06-01T00:00:00")
        write_rows(tmp_path / "emissions.csv", row)
        _, data = written(tmp_path)
        assert answers(data)["training_time_range"].startswith(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (100.0, "100"), (0.0123, "0.0123"), (1.5e-9, "1.50 x 10^-9"), (999_999.0, "1000000"),
        (2.44e25, "2.44 x 10^25"), (9.999e-4, "1.00 x 10^-3"), (9.999e6, "1.00 x 10^7"),
    ],
)  # fmt: skip
def test_figures_have_three_significant_digits(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize("cell", ["1e300", "1.7e308", "-2.0", "5e-324"])
def test_figures_that_no_run_can_have_give_no_invalid_document(cell: str, tmp_path: Path) -> None:
    odd = row_of("odd", energy_consumed=cell, emissions=cell, pue=cell, cpu_count=cell)
    write_rows(tmp_path / "emissions.csv", odd, odd | {"run_id": "b"}, row_of("a"))
    text, data = written(tmp_path)
    assert not re.search(r"\binf\b|\bnan\b", text)
    assert data["energy_mwh"] == pytest.approx(data["energy_mwh"]), "no NaN"
    assert data["energy_mwh"] < 1e15

"""SCI score and paper of files: receipts, a journal of a killed run, and CSV files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.disclosure.conftest import NAME, row_of, write_rows
from core.disclosure.tex import compile_paper

from carbon_core import EmissionsTracker
from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import documents, format_of, missing

PER_TOKEN = {
    "functional_unit": "token", "functional_unit_values": "gross", "functional_unit_rationale": "x",
}  # fmt: skip


def test_a_score_has_the_energy_of_all_runs_and_the_tokens_of_one_rank(project: Path) -> None:
    runs = collect_runs([project], "digits")
    data = json.loads(documents(format_of("sci"), runs, Facts(PER_TOKEN))["json"])
    assert data["functional_unit"]["count"] == 1e6
    assert {one["run_id"] for one in data["runs"]} == {
        "earlier", "rank-0", "rank-1", "outer", "inner", "failed", "unknown", "placeless",
        "evaluation", "killed", "row",
    }  # fmt: skip
    total = runs.development
    assert total.emissions_kg is not None
    assert data["sci"]["operational_g"] == pytest.approx(total.emissions_kg.value * 1000 / 1e6)
    assert data["sci"]["operational_low_g"] < data["sci"]["operational_g"]
    assert data["sci"]["total_g"] is None
    assert data["boundary"]["runs_without_energy"] == 1


def test_a_score_of_csv_rows_alone(tmp_path: Path) -> None:
    write_rows(tmp_path / "emissions.csv", row_of("1"), row_of("2", project_name=NAME))
    facts = Facts({"functional_unit": "run", "embodied_table": "gpu"})
    data = json.loads(documents(format_of("sci"), collect_runs([tmp_path]), facts)["json"])
    assert data["functional_unit"]["count"] == 2
    assert data["operational"]["emissions_kg"] == pytest.approx(0.2)
    assert data["operational"]["intensity_g_per_kwh"] == pytest.approx(50.0)
    assert sorted(one["name"] for one in data["embodied"]["gpus"]) == ["NVIDIA A100", "NVIDIA T4"]
    assert data["embodied"]["emissions_kg"] == pytest.approx((127.6 + 60.0) * 4 / 35_040)
    assert any("no interval" in one for one in data["notes"])


@pytest.mark.slow
def test_papers_of_receipts_and_of_csv_rows_compile(project: Path, tmp_path: Path) -> None:
    of_all = documents(
        format_of("paper"), collect_runs([project]), Facts({"embodied_table": "gpu"})
    )
    assert "killed" in of_all["tex"]
    rows = write_rows(tmp_path / "rows" / "emissions.csv", row_of("1", project_name=NAME))
    of_rows = documents(format_of("paper"), collect_runs([rows]), Facts({"model_name": NAME}))
    assert "by CodeCarbon 3.3.2" in " ".join(of_rows["txt"].split())
    for name, found in (("all", of_all), ("csv", of_rows)):
        compile_paper(tmp_path / name, found)


def test_requests_of_a_server_are_units_of_a_consumer_and_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with EmissionsTracker(country_iso_code="FRA", log_level="error") as tracker:
        requests = tracker.requests()
        for _ in range(4):
            with requests.request(tokens=50):
                sum(range(200_000))
    runs = collect_runs([tmp_path])
    data = json.loads(
        documents(format_of("sci"), runs, Facts({"functional_unit": "request"}))["json"]
    )
    assert (data["boundary"]["persona"], data["functional_unit"]["count"]) == ("consumer", 4)
    (run,) = data["runs"]
    # The score includes the time between requests, in which the hardware is reserved.
    assert data["sci"]["operational_g"] == pytest.approx(run["emissions_kg"] * 1000 / 4)
    facts = Facts({"functional_unit": "served-token"})
    assert (
        json.loads(documents(format_of("sci"), runs, facts)["json"])["functional_unit"]["count"]
        == 200
    )
    lacking = missing(format_of("sci"), runs, Facts({"functional_unit": "run"}))
    assert [one.key for one in lacking] == ["training_emissions", "functional_unit_count"]

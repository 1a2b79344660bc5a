"""The documents of the format sci."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.disclosure.disclosed_runs import activity, disclosed

from carbon_core.disclosure.activities import Disclosed, Hardware, Place
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import MissingFactsError, documents, format_of
from carbon_core.outputs.history import Skipped
from carbon_core.run_facts import Work

FRANCE = Place("France", "FRA", "", 50.0, "Ember", 2025, "lifecycle", 10.0, 0.5)
GIVEN = {
    "functional_unit": "token", "functional_unit_values": "gross",
    "functional_unit_rationale": "a | b", "embodied_table": "gpu",
}  # fmt: skip


def runs() -> Disclosed:
    trained = activity(
        run_id="run-1", project='a|b_\\"c\n*x*', work=Work(tokens=1e9), places=(FRANCE, FRANCE),
        hardware=Hardware(gpu_models=("NVIDIA A100-SXM4-80GB",)), gpu_hours=10.0,
        started_at="2026-01-01T10:00:00Z", ended_at="2026-01-01T11:00:00Z",
    )  # fmt: skip
    failed = activity(status="failed", run_id="run-2", energy_kwh=None, emissions_kg=None)
    inside = activity(run_id="run-3", part_of="run-1", counted=0.0)
    found = disclosed(trained, failed, inside, activity("inference", run_id="run-4"))
    return found._replace(skipped=(Skipped(Path("/home/me/x\n.json"), "is not JSON"),))


def written(found: Disclosed, **facts: object) -> dict[str, str]:
    return dict(documents(format_of("sci"), found, Facts({**GIVEN, **facts})))


def test_json_has_each_run_once_and_each_part_apart() -> None:
    data = json.loads(written(runs())["json"])
    assert [one["run_id"] for one in data["runs"]] == ["run-1", "run-2", "run-3"]
    assert data["boundary"]["runs_outside"] == 1
    assert data["boundary"]["runs_without_energy"] == 1
    assert data["operational"]["basis"] == "location-based"
    assert [(one["place"], one["energy_kwh"]) for one in data["operational"]["places"]] == [
        ("France", 20.0)
    ]
    rate = data["sci"]
    assert rate["unit"] == "g CO2e per training token"
    assert rate["total_g"] == pytest.approx(rate["operational_g"] + rate["embodied_g"])
    assert rate["total_low_g"] < rate["total_g"] < rate["total_high_g"]
    assert data["embodied"]["gpus"][0]["source"].endswith("2025")
    assert data["functional_unit"]["values"] == "gross"
    assert data["skipped"] == [{"file": "x\n.json", "reason": "is not JSON"}]
    assert "1 of 4 runs have an unknown energy, in no total." in data["notes"]


def test_the_period_is_by_time_and_not_by_text() -> None:
    early, late = "2026-01-02T01:00:00+09:00", "2026-01-01T23:00:00+00:00"
    found = disclosed(
        activity(run_id="1", started_at=late, ended_at=late),
        activity(run_id="2", started_at=early, ended_at=early),
    )
    data = json.loads(written(found, functional_unit_count=5)["json"])
    assert (data["measured_from"], data["measured_to"]) == (early, late)


def test_each_run_of_the_text_has_its_intervals() -> None:
    rows = [line for line in written(runs())["md"].splitlines() if line.startswith("| run-1 ")]
    assert len(rows) == 1
    assert rows[0].endswith("| 10.0 kWh (8.0 to 12.5) | 1.00 kg CO2e (0.50 to 2.00) |")


def test_names_are_cells_of_markdown_and_no_markup() -> None:
    lines = written(runs(), model_name="_m_\n# *x*")["md"].splitlines()
    assert lines[0] == r"# Software Carbon Intensity of \_m\_ # \*x\*"
    row = next(line for line in lines if line.startswith("| run-1 |"))
    assert row.startswith(r"| run-1 | a\|b\_\\" + '"c ' + r"\*x\* | training | completed |")
    assert "| in run-1 | in run-1 |" in next(line for line in lines if line.startswith("| run-3 |"))
    assert "| rationale | a \\| b |" in lines


def test_without_embodied_emissions_their_line_states_how_to_give_them() -> None:
    text = written(runs(), functional_unit="run", embodied_table="gpu")["md"]
    assert "(E·I + M) / R" in text
    facts = Facts({"functional_unit": "run"})
    text = documents(format_of("sci"), runs(), facts)["md"]
    assert "(E·I + M) / R" not in text
    assert "embodied_kg" in text


def test_market_based_emissions_are_beside_the_score_and_not_in_it() -> None:
    given = {"market_g_per_kwh": 0.0, "market_source": "a contract"}
    with_market, without = written(runs(), **given), written(runs())
    assert (
        "| market-based emissions, not in the score | 0 g CO2e; a contract |" in with_market["md"]
    )
    data = json.loads(with_market["json"])
    assert data["market_based_emissions_kg"] == 0.0
    assert data["sci"] == json.loads(without["json"])["sci"]


def test_what_is_missing_is_one_list() -> None:
    with pytest.raises(MissingFactsError) as caught:
        documents(format_of("sci"), runs(), Facts({"functional_unit": "parameter"}))
    assert [one.key for one in caught.value.missing] == [
        "parameters", "functional_unit_values", "functional_unit_rationale",
    ]  # fmt: skip
    with pytest.raises(MissingFactsError) as caught:
        documents(format_of("sci"), disclosed(activity()), Facts({"functional_unit": "request"}))
    assert [one.key for one in caught.value.missing] == [
        "inference_emissions",
        "functional_unit_count",
    ]
    facts = Facts({"functional_unit": "run", "hardware_embodied_kg": 1000.0})
    with pytest.raises(MissingFactsError) as caught:
        documents(format_of("sci"), runs(), facts)
    assert [one.key for one in caught.value.missing] == [
        "hardware_lifespan_years", "embodied_source",
    ]  # fmt: skip
    with pytest.raises(MissingFactsError, match=r"token\|parameter\|flop"):
        documents(format_of("sci"), runs(), Facts())


def test_many_runs_are_in_the_json_only() -> None:
    many = disclosed(*(activity(run_id=f"run-{i}") for i in range(60)))
    found = documents(format_of("sci"), many, Facts({"functional_unit": "run"}))
    assert len(json.loads(found["json"])["runs"]) == 60
    assert "10 more runs" in found["md"]


def test_a_table_without_a_gpu_is_stated() -> None:
    facts = Facts({"functional_unit": "run", "embodied_table": "gpu"})
    text = documents(format_of("sci"), disclosed(activity()), facts)["md"]
    assert "the table has GPUs only" in text

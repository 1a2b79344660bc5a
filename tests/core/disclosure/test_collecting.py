"""All runs of a project, each once: restarts, ranks, evaluations, and failed and killed runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from core.disclosure.conftest import NAME, row_of, write_rows
from core.outputs.conftest import report_of
from core.outputs.test_within import saved

from carbon_core.disclosure.activities import Activity
from carbon_core.disclosure.collecting import collect_runs, wall_clock_s
from carbon_core.outputs import history
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.run_totals import Total
from carbon_core.trials import StudyFacts

PUE = 1.5
# Of those that are counted, without PUE; the inner one is a part of the outer one.
KWH = {
    "rank-0": 4.0, "rank-1": 2.0, "earlier": 1.0, "outer": 3.0, "inner": 0.0, "failed": 0.5,
    "placeless": 4.0, "evaluation": 4.0, "killed": 0.25,
}  # fmt: skip


def by_id(directory: Path, **chosen: str) -> dict[str, Activity]:
    found = collect_runs([directory], **chosen).activities
    assert len({one.run_id for one in found}) == len(found), "none twice"
    return {one.run_id: one for one in found}


def test_each_run_of_a_project_is_named_once(project: Path) -> None:
    found = by_id(project, project="digits")
    assert found.keys() == {*KWH, "unknown", "row"}
    energies = {key: one.energy_kwh.value for key, one in found.items() if one.energy_kwh}
    assert energies == pytest.approx({**{k: v * PUE for k, v in KWH.items()}, "row": 2.0})
    assert found["unknown"].energy_kwh is None
    assert found["unknown"].emissions_kg is None
    assert found["unknown"].places == ()
    statuses = {key: one.status for key, one in found.items()}
    assert {statuses.pop("failed"), statuses.pop("killed"), statuses.pop("earlier")} == {
        "failed", "interrupted", "missing",
    }  # fmt: skip
    assert found["inner"].part_of == "outer"
    assert found["evaluation"].kind == "evaluation"
    assert found["placeless"].places[0].country_iso_code == ""
    assert {one.project for one in found.values()} == {"digits"}


def test_totals_have_each_joule_once_and_correlated_errors(project: Path) -> None:
    disclosed = collect_runs([project], project="digits")
    counted = PUE * sum(KWH.values()) + 2.0
    assert disclosed.energy_kwh is not None
    assert disclosed.energy_kwh.value == pytest.approx(counted)
    total, missing = Total(), PUE * KWH["earlier"]
    for run in history.read([project]):
        if isinstance(run, history.PastRun) and run.project_name == "digits":
            total.add(run)
    # Errors of the missing run are the same as those of the others: its share widens the interval.
    assert disclosed.energy_kwh.value - total.energy_kwh.value == pytest.approx(missing)
    assert disclosed.energy_kwh.high > total.energy_kwh.high
    parts = disclosed.by_kind.values(), disclosed.by_status.values()
    for groups in parts:
        energies = [one.energy_kwh.value for one in groups if one.energy_kwh]
        assert sum(energies) == pytest.approx(counted)
        assert sum(one.runs for one in groups) == len(disclosed.activities)
    assert disclosed.total.unknown == 1
    assert disclosed.total.without_interval == 1, "the row of the CSV file"


def test_of_the_ranks_of_a_training_one_states_its_work(project: Path) -> None:
    found = collect_runs([project], project="digits")
    assert found.work.samples == 3200.0
    assert found.work.flops == 6e15


def test_only_what_another_chosen_run_counts_is_left_out(tmp_path: Path) -> None:
    """The run around belongs to another project: its energy is not part of this disclosure."""
    saved(tmp_path, report_of("outer", project_name="machine", kwh=3.0))
    saved(tmp_path, report_of("inner", kwh=2.0, within=("outer",)))
    whole = by_id(tmp_path)
    assert whole["inner"].counted == 0.0
    inner = by_id(tmp_path, project="digits")["inner"]
    assert (inner.counted, inner.part_of) == (1.0, "")
    assert inner.energy_kwh is not None
    assert inner.energy_kwh.value == pytest.approx(2.0 * PUE)
    assert inner.gpu_hours == pytest.approx(6.0), "three GPUs for two hours"


@pytest.mark.parametrize("name", [NAME, "=1+1"])
def test_a_project_is_found_under_the_name_that_its_csv_file_has(name: str, tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", project_name=name))
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    for run_id in ("a", "b"):
        rows.append(emissions_data(report_of(run_id, project_name=name)))
    assert by_id(tmp_path, project=name).keys() == {"a", "b"}


def test_runs_of_a_study_are_chosen_by_its_id(tmp_path: Path) -> None:
    saved(tmp_path, report_of("a", study=StudyFacts("s", "1")))
    saved(tmp_path, report_of("b", study=StudyFacts("t", "1")))
    assert by_id(tmp_path, study="s").keys() == {"a"}


def test_the_energy_of_places_is_that_of_the_runs(project: Path) -> None:
    for one in by_id(project, project="digits").values():
        if one.places and one.energy_kwh and one.emissions_kg:
            places = one.places
            assert sum(p.energy_kwh for p in places) == pytest.approx(one.energy_kwh.value)
            assert sum(p.emissions_kg for p in places) == pytest.approx(one.emissions_kg.value)


def test_a_csv_file_of_codecarbon_alone_has_place_hardware_and_project(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "emissions.csv",
        row_of("a"),
        row_of("b", gpu_count="", gpu_model="", region="None", energy_consumed="", emissions=""),
        row_of("c", project_name=NAME.replace("\n", " "), timestamp="yesterday", gpu_count="0"),
        row_of("a", energy_consumed="3.0"),  # of a later flush
    )
    found = by_id(tmp_path)
    one = found["a"]
    assert one.energy_kwh is not None
    assert one.energy_kwh.value == 3.0
    assert one.places[0]._replace(g_per_kwh=0.0) == (
        "nouvelle-aquitaine", "FRA", "nouvelle-aquitaine", 0.0, "CodeCarbon 3.3.2", None, None, 3.0,
        0.1, "",
    )  # fmt: skip
    assert one.places[0].g_per_kwh == pytest.approx(100 / 3)
    assert one.hardware.gpu_models == ("NVIDIA A100", "NVIDIA T4")
    assert one.hardware.cpu_count == 32
    assert (one.started_at, one.ended_at) == ("2026-01-02T08:00:00", "2026-01-02T10:00:00")
    assert one.gpu_hours == 4.0
    assert not one.has_interval
    assert found["b"].energy_kwh is None, "an empty cell is no zero"
    assert found["b"].gpu_hours is None
    assert found["c"].started_at == ""
    assert found["c"].gpu_hours == 0.0


@pytest.mark.parametrize("text", ["8 x A100", "A100", "", "0 x A100", "99999999 x A100"])
def test_the_number_of_gpus_of_a_row_has_a_limit(text: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "emissions.csv", row_of("a", gpu_count="8", gpu_model=text))
    models = by_id(tmp_path)["a"].hardware.gpu_models
    assert len(models) == (0 if text == "0 x A100" else 8), models


def test_wall_clock_counts_overlapping_runs_once(tmp_path: Path) -> None:
    for hour, run_id in enumerate(("a", "b")):
        saved(tmp_path, report_of(run_id, started_at=f"2026-01-01T1{hour}:00:00+00:00"))
    found = collect_runs([tmp_path])
    assert found.wall_clock_s == 3 * 3600.0
    assert sum(one.duration_s for one in found.activities) == 4 * 3600.0
    unknown = found.activities[0]._replace(started_at="")
    assert wall_clock_s([*found.activities, unknown]) == 5 * 3600.0


def test_inference_is_no_part_of_the_development(tmp_path: Path) -> None:
    from carbon_core import EmissionsTracker
    from carbon_core.disclosure.activities import INFERENCE

    settings = {"log_level": "error", "country_iso_code": "FRA"}
    tracker = EmissionsTracker(output_dir=str(tmp_path), **settings)
    with tracker, tracker.requests("generate").request(tokens=5):
        pass
    found = collect_runs([tmp_path])
    assert [(one.kind, one.requests, one.served_tokens) for one in found.activities] == [
        (INFERENCE, 1, 5)
    ]
    assert found.development.runs == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    saved(tmp_path, report_of("a"))
    (tmp_path / "carbon_runs" / "b.receipt.json").write_text("{}")
    found = collect_runs([tmp_path])
    assert [one.path.name for one in found.skipped] == ["b.receipt.json"]
    assert len(found.activities) == 1


def test_a_restart_with_its_file_is_not_counted_by_those_that_refer_to_it(tmp_path: Path) -> None:
    first = report_of("first", kwh=1.0)
    saved(tmp_path, first)
    saved(tmp_path, replace(report_of("second", kwh=2.0), earlier=(first.segment,)))
    found = by_id(tmp_path)
    assert found.keys() == {"first", "second"}
    assert found["first"].status == "completed"

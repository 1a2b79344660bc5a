"""The BoAmps report of a run, judged by the format's own schemas."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boamps_schemas
import pytest

from carbon_core import EmissionsTracker
from carbon_core.outputs.boamps import BoampsFile, boamps_report, quality
from carbon_core.outputs.boamps_fields import REPORT, Block, Blocks, Choice, problems
from carbon_core.record import replace
from carbon_core.records import GUESSED, Energy, Estimate, HostFacts, Snapshot
from carbon_core.report import Report
from carbon_core.request_totals import RequestCounts, Requests
from carbon_core.run_facts import Work

MakeReport = Callable[..., Report]
TASK = {"taskFamily": "textClassification", "dataset": [{"dataUsage": "input", "dataType": "text"}]}
ALGORITHM = {"algorithms": [{"algorithmName": "transformers"}]}
COMPLETE = {"task": {"taskStage": "training", **TASK, **ALGORITHM}}


def test_a_report_with_a_task_is_one_of_version_1_1_and_passes_its_schemas(
    make_report: MakeReport,
) -> None:
    report = boamps_report(make_report(), COMPLETE)
    assert boamps_schemas.complaints(report) == []
    assert report["header"]["formatVersion"] == "1.1.0"
    assert "reportStatus" not in report["header"]
    assert report["environment"] == {"country": "France", "powerSourceCarbonIntensity": 87.5}
    assert report["measures"][0]["measurementDateTime"] == "2026-01-01 10:00:00"
    assert report["header"]["reportDatetime"] == "2026-01-01 12:00:00"
    ram = report["infrastructure"]["components"][-1]
    assert ram == {"componentType": "ram", "memorySize": 62, "nbComponent": 1}


def test_a_report_without_a_task_is_a_draft_that_names_no_version(make_report: MakeReport) -> None:
    report = boamps_report(make_report(), {})
    assert report["header"]["reportStatus"] == "draft"
    assert "formatVersion" not in report["header"]
    assert "formatVersionSpecificationUri" not in report["header"]
    assert "$: 'task' is a required property" in boamps_schemas.complaints(report)


def test_the_warning_lists_all_that_a_draft_lacks(make_report: MakeReport, tmp_path: Path) -> None:
    warnings: list[str] = []
    BoampsFile(tmp_path, {"task": {"taskFamily": "chat"}}, warnings.append).close(make_report())
    (warning,) = warnings
    assert warning.startswith("boamps_report_run-1.json is a draft, no valid BoAmps report;")
    assert "task.taskStage (a text); task.algorithms (at least one object)" in warning
    assert "task.dataset[0].dataUsage (one of input, output)" in warning
    assert "task.dataset[0].dataType (one of tabular, audio" in warning
    assert "taskFamily" not in warning
    BoampsFile(tmp_path, COMPLETE, warnings.append).close(make_report())
    assert len(warnings) == 1


def test_the_task_has_what_the_run_knows(make_report: MakeReport) -> None:
    versions = {"torch_version": "2.13.0", "transformers_version": "5.24.0"}
    pytorch = {"framework": "pytorch", "frameworkVersion": "2.13.0"}
    training = replace(
        make_report(model_class="digits.Net"),
        work=Work(10, 20, 3_000),
        host=HostFacts("A CPU", facts=versions),
    )
    assert boamps_report(training, {})["task"] == {
        "taskStage": "training",
        "algorithms": [{**pytorch, "classPath": "digits.Net"}],
        "dataset": [{"dataUsage": "input", "dataType": "token"}],
    }
    report = boamps_report(training, {"task": {"taskFamily": "chat", **ALGORITHM}})
    assert boamps_schemas.complaints(report) == []
    assert report["task"]["algorithms"] == [
        {**pytorch, "classPath": "digits.Net", "algorithmName": "transformers"}
    ]


def test_the_dataset_has_the_samples_where_its_type_is_not_a_part_of_one(
    make_report: MakeReport,
) -> None:
    training = replace(make_report(), work=Work(10, 20), dataset_samples=160.0)
    draft = boamps_report(training, {})
    assert draft["task"]["dataset"] == [{"dataUsage": "input", "dataQuantity": 160.0}]
    assert draft["header"]["reportStatus"] == "draft"
    assert "task.dataset[0].dataType" in " ".join(problems(draft))

    def dataset(report: Report = training, **stated: Any) -> Any:
        task = {"taskFamily": "chat", **ALGORITHM, "dataset": [stated]}
        found = boamps_report(report, {"task": task})
        assert boamps_schemas.complaints(found) == []
        assert task["dataset"] == [stated], "what the user gave is as it was"
        return found["task"]["dataset"]

    image = {"dataUsage": "input", "dataType": "image"}
    assert dataset(dataType="image") == [{**image, "dataQuantity": 160.0}]
    assert dataset(**image, dataQuantity=7) == [{**image, "dataQuantity": 7}]
    assert dataset(dataType="token") == [{**image, "dataType": "token"}]
    assert dataset(dataUsage="output", dataType="image") == [{**image, "dataUsage": "output"}]
    of_tokens = replace(training, work=Work(10, 20, 3_000))
    assert dataset(of_tokens) == [{**image, "dataType": "token"}]
    assert dataset(of_tokens, dataType="image") == [{**image, "dataQuantity": 160.0}]
    assert dataset(replace(training, dataset_samples=None), **image) == [image]


@pytest.mark.parametrize(
    "task",
    [
        "a text",
        {"dataset": "a text"},
        {"dataset": ["a text"]},
        {"dataset": []},
        {"dataset": [{}, {}]},
    ],
)
def test_a_dataset_of_another_form_stays_as_it_was_given(
    make_report: MakeReport, task: Any
) -> None:
    training = replace(make_report(), work=Work(10, 20), dataset_samples=160.0)
    found = boamps_report(training, {"task": copy.deepcopy(task)})["task"]
    assert "dataQuantity" not in json.dumps(found)


def test_served_requests_are_inference(make_report: MakeReport) -> None:
    served = Requests(
        (RequestCounts("chat", 3), RequestCounts("code", 4)), 60.0, 1.0, 1.0, 0.1, 0.1
    )
    report = boamps_report(replace(make_report(), requests=served), {"task": {**TASK, **ALGORITHM}})
    assert boamps_schemas.complaints(report) == []
    assert (report["task"]["taskStage"], report["task"]["nbRequest"]) == ("inference", 7)


def test_a_guessed_country_is_not_stated(make_report: MakeReport) -> None:
    report = make_report()
    shares = tuple(
        one._replace(intensity=replace(one.intensity, place=f"France{GUESSED}"))
        for one in report.intensities
    )
    guessed = boamps_report(replace(report, intensities=shares), COMPLETE)
    assert "environment" not in guessed
    assert boamps_schemas.complaints(guessed) == []
    given = {**COMPLETE, "environment": {"location": "Lille"}}
    draft = boamps_report(replace(report, intensities=shares), given)
    assert problems(draft) == ("environment.country (a text)",)
    assert boamps_schemas.complaints(draft) == ["$.environment: 'country' is a required property"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(3.8, 4.2, "high"), (3.2, 4.2, "medium"), (3.0, 5.9, "low"), (1.0, 9.0, None)],
)
def test_the_quality_is_that_of_the_interval(low: float, high: float, expected: str | None) -> None:
    assert quality(Estimate(4.0, low, high)) == expected
    assert quality(Estimate(0.0, 0.0, 0.0)) is None


def test_a_run_without_readings_is_a_draft_that_lacks_its_energy(make_report: MakeReport) -> None:
    report = make_report()
    end = report.window.end
    silent = replace(end, energies=(Energy(0.0, 0.0, 7_200.0),) * len(end.devices))
    nothing = replace(report, window=silent - Snapshot(0))
    draft = boamps_report(nothing, COMPLETE)
    assert problems(draft) == ("measures[0].powerConsumption (a number)",)
    assert boamps_schemas.complaints(draft) == [
        "$.measures[0]: 'powerConsumption' is a required property"
    ]


# Values that a user may give in the wrong form: the judge refuses each, and so does the table.
WRONG: list[tuple[str, Any]] = [
    ("environment.powerSource", "hydro"),
    ("environment.latitude", "north"),
    ("header.reportStatus", "done"),
    ("header.publisher", {"name": "me"}),
    ("header.publisher", "me"),
    ("task.algorithms", []),
    ("task.algorithms", {}),
    ("task.algorithms", [{"parametersNumber": "8"}]),
    ("task.dataset", [{"dataUsage": "both", "dataType": "text"}]),
    ("task.dataset", [{"dataUsage": "input", "dataType": "text", "dataFormat": "docx"}]),
    ("task.measuredAccuracy", 93),
    ("task.measuredAccuracy", True),
    ("task.taskFamily", 3),
    ("infrastructure.infraType", "cluster"),
    ("infrastructure.components", [{"componentType": "gpu"}]),
    ("infrastructure.components", [{"componentType": "gpu", "nbComponent": 1.5}]),
    ("measures", []),
    ("measures", [{"measurementMethod": "wattmeter"}]),
    ("quality", "good"),
    ("system", {"distribution": "debian"}),
    ("$hash", {"value": "ab"}),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_what_the_judge_refuses_is_a_problem(
    make_report: MakeReport, path: str, value: Any
) -> None:
    report = boamps_report(make_report(), COMPLETE)
    assert problems(report) == ()
    broken = copy.deepcopy(report)
    *blocks, last = path.split(".")
    place = broken
    for name in blocks:
        place = place.setdefault(name, {})
    place[last] = value
    assert boamps_schemas.complaints(broken)
    assert any(one.startswith(path) for one in problems(broken))


def test_the_table_of_fields_is_that_of_the_schemas() -> None:
    assert differences(REPORT, boamps_schemas.schema("report")) == []
    changed = boamps_schemas.schema("report")
    changed["properties"]["environment"]["properties"]["powerSource"]["enum"].append("hydro")
    changed["properties"]["task"]["required"].remove("dataset")
    assert differences(REPORT, changed) == ["environment.powerSource", "task"]


def differences(kind: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Return the paths at which the table and a schema differ."""
    if "$ref" in schema:
        schema = boamps_schemas.schema(
            schema["$ref"].rsplit("/", 1)[1].removesuffix("_schema.json")
        )
    if isinstance(kind, Blocks):
        same = schema["type"] == "array" and schema["minItems"] == 1
        return ([] if same else [path]) + differences(kind.of, schema["items"], path)
    if isinstance(kind, Block):
        wanted = schema["properties"]
        same = kind.fields.keys() == wanted.keys()
        same = same and set(kind.required) == set(schema.get("required", ()))
        inner = (
            one
            for name, value in kind.fields.items()
            if name in wanted
            for one in differences(value, wanted[name], f"{path}.{name}".lstrip("."))
        )
        return sorted([*inner, *([] if same else [path])])
    if isinstance(kind, Choice):
        allowed = [one for one in schema.get("enum", ()) if one is not None]
        return [] if list(kind.allowed) == allowed else [path]
    share = (schema.get("minimum"), schema.get("maximum")) == (0, 1)
    found = {"string": "text", "number": "share" if share else "number", "integer": "integer"}
    return [] if kind == found.get(schema["type"]) and "enum" not in schema else [path]


def test_a_report_of_a_run_passes_the_schemas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with EmissionsTracker(
        output_methods="boamps", metadata=COMPLETE, country_iso_code="FRA"
    ) as tracker:
        pass
    report = json.loads(Path(f"boamps_report_{tracker.run_id}.json").read_text())
    assert boamps_schemas.complaints(report) == []
    assert "draft" not in caplog.text
    with EmissionsTracker(output_methods="boamps", log_level="warning") as tracker:
        pass
    assert f"boamps_report_{tracker.run_id}.json is a draft" in caplog.text

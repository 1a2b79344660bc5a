"""Bills of materials and BoAmps reports of a disclosure, each judged by its format's own judge."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import disclosure_judges as judges
import pytest
from core.outputs.conftest import report_of
from disclosure_judges import JUDGES

from carbon_core.disclosure.activities import Disclosed, Group
from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import FACTS, Facts
from carbon_core.disclosure.formats import MissingFactsError, documents, format_of, missing
from carbon_core.errors import ConfigError
from carbon_core.outputs import boamps_fields, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.record import replace
from carbon_core.records import Energy, Snapshot
from carbon_core.report import Phase, Report
from carbon_core.request_totals import RequestCounts, Requests
from carbon_core.run_facts import Work

# A foreign name with what each format must quote.
NAME = 'a|b"c\\d_e&f\n\u202eg'
FACTS_OF_ALL: Mapping[str, Any] = {
    "model_name": NAME,
    "model_version": "1.0",
    "provider": "Example & Sons",
    "release_time": "2026-02-03",
    "download_location": "https://example.org/model",
    "task_family": "textClassification",
    "data_type": "text",
    "infrastructure": "onPremise",
    "run_kind": "training",
}
FORMATS = ("cyclonedx", "spdx", "boamps")
EVALUATED = (Phase("evaluate", 7_200.0, 1.0, 1),)


def kept(directory: Path, *reports: Report) -> Disclosed:
    """Return the disclosure of runs with a receipt each."""
    runs = directory / RUNS_DIRECTORY
    runs.mkdir()
    for report in reports:
        receipt.write(report, runs / f"{report.run.run_id}{receipt.SUFFIX}")
    return collect_runs([directory])


def silent(report: Report) -> Report:
    """Return a run without any reading."""
    end = report.window.end
    nothing = replace(end, energies=(Energy(0.0, 0.0, 7_200.0),) * len(end.devices))
    return replace(report, window=nothing - Snapshot(0))


@pytest.fixture(name="runs", scope="module")
def runs_of_a_project(tmp_path_factory: pytest.TempPathFactory) -> Disclosed:
    """A training, a failed one, an evaluation, requests, and runs without energy and place."""
    requests = Requests((RequestCounts("chat", 3, tokens=90),), 60.0, 1.0, 1.0, 0.1, 0.1)
    return kept(
        tmp_path_factory.mktemp("project"),
        replace(report_of("done", project_name=NAME), work=Work(10, 20, None)),
        report_of("failed", status="failed", kwh=1.0),
        replace(report_of("evaluation", kwh=0.5, phases_synced=True), phases=EVALUATED),
        replace(report_of("served", kwh=0.25), phases=(), requests=requests),
        silent(report_of("silent")),
        replace(
            report_of("nowhere", kwh=0.125, country_name="", country_iso_code=""), intensities=()
        ),
    )


def text_of(name: str, disclosed: Disclosed, **facts: Any) -> str:
    return next(iter(documents(format_of(name), disclosed, given(**facts)).values()))


def given(**facts: Any) -> Facts:
    return Facts({key: value for key, value in {**FACTS_OF_ALL, **facts}.items() if value != ""})


def consumptions(text: str) -> list[dict[str, Any]]:
    (model,) = json.loads(text)["components"]
    found: list[dict[str, Any]] = model["modelCard"]["considerations"][
        "environmentalConsiderations"
    ]["energyConsumptions"]
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_document_passes_its_judge(name: str, runs: Disclosed) -> None:
    texts = documents(format_of(name), runs, given())
    assert texts
    assert [one for text in texts.values() for one in JUDGES[name](text)] == []


@pytest.mark.parametrize(
    "facts",
    [
        {"cyclonedx_version": "1.7"},
        {"energy_mix": "nuclear=65, wind=10", "energy_supplier": "Grid & Co"},
        {"offset_kg": 100, "offset_source": "a registry"},
        {"market_g_per_kwh": 12, "market_source": "a contract", "certificates_kwh": 1},
        {"training_type": "fine-tuning", "model_version": "", "provider": ""},
    ],
)
def test_cyclonedx_with_further_facts_passes_its_judge(
    facts: dict[str, Any], runs: Disclosed
) -> None:
    facts = {"certificates_source": "a registry", **facts}
    assert judges.of_cyclonedx(text_of("cyclonedx", runs, **facts)) == []


# Changes of a document that its judge must refuse.
BROKEN: list[tuple[str, tuple[Any, ...], Any]] = [
    ("cyclonedx", ("activity",), "evaluation"),
    ("cyclonedx", ("activityEnergyCost", "unit"), "MWh"),
    ("cyclonedx", ("co2CostEquivalent", "unit"), "kg"),
    ("cyclonedx", ("energyProviders", 0, "energySource"), "grid"),
    ("cyclonedx", ("energy",), 1.0),
    ("spdx", ("ai_trainingEnergyConsumption", 0, "ai_energyUnit"), "joule"),
    ("spdx", ("ai_trainingEnergyConsumption", 0, "ai_energyQuantity"), "much"),
    ("spdx", ("energy",), 1.0),
    ("boamps", ("measures", 0, "powerConsumption"), "4 kWh"),
    ("boamps", ("task", "dataset"), []),
    ("boamps", ("infrastructure", "components", 0, "nbComponent"), 1.5),
]


@pytest.mark.parametrize(("name", "path", "value"), BROKEN)
def test_a_broken_document_is_refused(
    name: str, path: tuple[Any, ...], value: Any, runs: Disclosed
) -> None:
    data = json.loads(text_of(name, runs))
    place: Any = data
    if name == "cyclonedx":
        place = data["components"][0]["modelCard"]["considerations"]
        place = place["environmentalConsiderations"]["energyConsumptions"][0]
    if name == "spdx":
        (place,) = (one for one in data["@graph"] if one["type"] == "ai_AIPackage")
        place = place["ai_energyConsumption"]
    *blocks, last = path
    for key in blocks:
        place = place[key]
    place[last] = value
    assert JUDGES[name](json.dumps(data))


def test_an_spdx_document_without_an_element_is_refused(runs: Disclosed) -> None:
    data = json.loads(text_of("spdx", runs))
    agent = judges.spdx_element(text_of("spdx", runs), "Organization")
    data["@graph"] = [one for one in data["@graph"] if one["type"] != agent["type"]]
    assert len(judges.of_spdx(json.dumps(data))) == 1


def test_cyclonedx_has_one_entry_for_each_kind_of_activity(runs: Disclosed) -> None:
    found = consumptions(text_of("cyclonedx", runs, run_kind=""))
    assert [one["activity"] for one in found] == ["training", "validation", "inference"]
    training = found[0]
    # Three runs of 4, 1 and 0.125 kWh of the hardware, with a PUE of 1.5.
    assert training["activityEnergyCost"] == {"value": pytest.approx(7.6875), "unit": "kWh"}
    kg = runs.by_kind["training"].emissions_kg
    assert kg is not None
    assert training["co2CostEquivalent"] == {"value": kg.value / 1000, "unit": "tCO2eq"}
    assert "co2CostOffset" not in training
    for one in found:
        provided = sum(each["energyProvided"]["value"] for each in one["energyProviders"])
        assert provided == pytest.approx(one["activityEnergyCost"]["value"])
        assert {each["energySource"] for each in one["energyProviders"]} == {"unknown"}
    assert [one["description"] for one in training["energyProviders"]] == [
        "France: 50.0 g CO2e/kWh (Ember, 2025, lifecycle)",
        "FR: 100 g CO2e/kWh (EM, direct)",
        "unknown place",
    ]


def test_cyclonedx_names_each_run_once_with_intervals(runs: Disclosed) -> None:
    text = text_of("cyclonedx", runs)
    runs = [
        one["value"].split(";")[0]
        for each in consumptions(text)
        for one in each["properties"]
        if one["name"] == "carbon-callbacks:run"
    ]
    assert sorted(runs) == ["done", "evaluation", "failed", "nowhere", "served", "silent"]
    names = {one["name"] for one in consumptions(text)[0]["properties"]}
    assert {f"carbon-callbacks:energy:{end}-95:kWh" for end in ("low", "high")} <= names
    assert {f"carbon-callbacks:emissions:{end}-95:tCO2eq" for end in ("low", "high")} <= names


def test_cyclonedx_has_the_interval_of_each_run(runs: Disclosed) -> None:
    (done,) = (one for one in runs.activities if one.run_id == "done")
    assert done.energy_kwh is not None
    value, low, high = done.energy_kwh
    assert f"{value!r} kWh (95 %: {low!r} to {high!r})" in text_of("cyclonedx", runs)


def test_a_run_without_energy_is_named_though_it_has_no_entry(tmp_path: Path) -> None:
    other = replace(report_of("evaluation", phases_synced=True), phases=EVALUATED)
    disclosed = kept(tmp_path, report_of("done"), silent(other))
    text = text_of("cyclonedx", disclosed)
    assert [one["activity"] for one in consumptions(text)] == ["training"]
    assert "evaluation; digits; completed" in text
    assert judges.of_cyclonedx(text) == []


def test_an_offset_is_divided_by_emissions_and_subtracted_from_nothing(runs: Disclosed) -> None:
    plain = consumptions(text_of("cyclonedx", runs))
    found = consumptions(text_of("cyclonedx", runs, offset_kg=100, offset_source="a registry"))
    assert [one["co2CostEquivalent"] for one in found] == [
        one["co2CostEquivalent"] for one in plain
    ]
    assert sum(one["co2CostOffset"]["value"] for one in found) == pytest.approx(0.1)


def test_an_offset_is_stated_even_where_there_are_no_emissions(tmp_path: Path) -> None:
    nothing = replace(report_of(kwh=0.0), intensities=())
    text = text_of("cyclonedx", kept(tmp_path, nothing), offset_kg=5, offset_source="a registry")
    assert '"name": "carbon-callbacks:offset:kg"' in text
    assert judges.of_cyclonedx(text) == []


def test_an_energy_mix_has_shares_and_the_rest_is_unknown(runs: Disclosed) -> None:
    text = text_of("cyclonedx", runs, energy_mix="nuclear=65,wind=10", energy_supplier="Grid")
    training = consumptions(text)[0]
    by_source: dict[str, float] = {}
    for one in training["energyProviders"]:
        assert one["organization"] == {"name": "Grid"}
        kwh = one["energyProvided"]["value"]
        by_source[one["energySource"]] = by_source.get(one["energySource"], 0.0) + kwh
    total = training["activityEnergyCost"]["value"]
    expected = {"nuclear": 0.65 * total, "wind": 0.1 * total, "unknown": 0.25 * total}
    assert by_source == pytest.approx(expected)


WRONG_MIXES = ("nuclear", "nuclear=0", "nuclear=101", "grid=5", "wind=60,coal=50", "wind=1,wind=1")


@pytest.mark.parametrize("mix", [*WRONG_MIXES, "wind=-1", "wind=nan", "wind=1;coal=2"])
def test_another_form_of_an_energy_mix_is_an_error_that_names_it(mix: str, runs: Disclosed) -> None:
    with pytest.raises(ConfigError, match=r"facts: energy_mix must be percentages .* nuclear=65"):
        text_of("cyclonedx", runs, energy_mix=mix)


def test_market_based_emissions_stand_beside_the_others(runs: Disclosed) -> None:
    plain = consumptions(text_of("cyclonedx", runs))
    text = text_of("cyclonedx", runs, market_g_per_kwh=0, market_source="a contract")
    assert [one["co2CostEquivalent"] for one in consumptions(text)] == [
        one["co2CostEquivalent"] for one in plain
    ]
    assert '"carbon-callbacks:emissions:market-based:tCO2eq"' in text
    assert "a contract" in text


def test_market_based_emissions_are_in_the_annotation_of_spdx(runs: Disclosed) -> None:
    def statement(**facts: Any) -> dict[str, Any]:
        annotation = judges.spdx_element(text_of("spdx", runs, **facts), "Annotation")
        found: dict[str, Any] = json.loads(annotation["statement"])
        return found

    plain = statement()
    assert plain["market_based_emissions_kg"] is None
    found = statement(market_g_per_kwh=10, market_source="a contract")
    assert found["total"] == plain["total"]
    kwh = found["total"]["energy_kwh"]
    assert found["market_based_emissions_kg"] == pytest.approx(kwh / 100)
    assert found["market_based_emissions_low_kg"] < found["market_based_emissions_kg"]
    assert found["market_based_source"] == "a contract"
    lacking = missing(format_of("spdx"), runs, given(market_g_per_kwh=10))
    assert [one.key for one in lacking] == ["market_source"]


def test_spdx_has_energy_by_stage_and_the_rest_in_an_annotation(runs: Disclosed) -> None:
    text = text_of("spdx", runs)
    energy = judges.spdx_element(text, "ai_AIPackage")["ai_energyConsumption"]
    assert sorted(energy) == [
        "ai_inferenceEnergyConsumption",
        "ai_trainingEnergyConsumption",
        "type",
    ]
    (training,) = energy["ai_trainingEnergyConsumption"]
    assert training["ai_energyQuantity"] == pytest.approx(7.6875)
    statement = json.loads(judges.spdx_element(text, "Annotation")["statement"])
    assert [one["stage"] for one in statement["stages"]] == ["training", "evaluation", "inference"]
    named = [run["run_id"] for one in statement["stages"] for run in one["activities"]]
    assert sorted(named) == ["done", "evaluation", "failed", "nowhere", "served", "silent"]
    assert "receipt.json" not in text


def test_a_fine_tuning_has_its_own_field(runs: Disclosed) -> None:
    text = text_of("spdx", runs, training_type="fine-tuning")
    energy = judges.spdx_element(text, "ai_AIPackage")["ai_energyConsumption"]
    assert "ai_finetuningEnergyConsumption" in energy
    assert "ai_trainingEnergyConsumption" not in energy
    tuned = consumptions(text_of("cyclonedx", runs, training_type="fine-tuning"))
    assert tuned[0]["activity"] == "fine-tuning"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("release_time", "soon"),
        ("release_time", "2026-13-01"),
        ("download_location", "here"),
        ("download_location", "https://example.org/a model"),
    ],
)
def test_a_fact_of_spdx_in_another_form_is_an_error_that_names_it(
    key: str, value: str, runs: Disclosed
) -> None:
    with pytest.raises(ConfigError, match=f"facts: {key} must be .*, not '{value}'"):
        text_of("spdx", runs, **{key: value})


def test_the_release_time_is_in_utc(runs: Disclosed) -> None:
    text = text_of("spdx", runs, release_time="2026-02-03T01:30:00+02:00")
    assert judges.spdx_element(text, "ai_AIPackage")["releaseTime"] == "2026-02-02T23:30:00Z"


def test_boamps_has_a_report_for_each_stage_and_country(runs: Disclosed) -> None:
    texts = documents(format_of("boamps"), runs, given(parameters=7e9, dataset_items=5))
    assert sorted(texts) == [
        "evaluation-FRA.json", "inference-FRA.json", "training-FRA.json", "training.json",
    ]  # fmt: skip
    report = json.loads(texts["training-FRA.json"])
    assert report["header"]["formatVersion"] == "1.1.0"
    assert report["task"]["taskStage"] == "training"
    assert report["task"]["algorithms"][0]["parametersNumber"] == 7
    assert report["task"]["dataset"] == [
        {"dataUsage": "input", "dataType": "text", "dataQuantity": 5}
    ]
    assert [one["powerConsumption"] for one in report["measures"]] == pytest.approx([6.0, 1.5])
    assert report["measures"][0]["measurementMethod"] == "carbon-callbacks"
    assert report["environment"] == {"country": "France", "powerSourceCarbonIntensity": 87.5}
    assert "environment" not in json.loads(texts["training.json"])
    assert json.loads(texts["inference-FRA.json"])["task"]["nbRequest"] == 3
    description = report["task"]["taskDescription"]
    assert "done (completed); failed (failed); silent (completed, unknown energy)" in description
    assert "7.50 kWh (95 %: 6.39 to 8.81)" in description, "the interval has no field"
    assert "silent" not in "".join(
        text for name, text in texts.items() if name != "training-FRA.json"
    )


@pytest.mark.parametrize(
    ("of_runs", "facts", "expected"),
    [
        ((160.0, None, 160.0), {}, 160),
        ((160.0, None, 161.0), {}, None),
        ((None, None), {}, None),
        ((160.0,), {"dataset_items": 5}, 5),
        ((160.0, 161.0), {"dataset_items": 5}, 5),
        ((160.0,), {"data_type": "token"}, None),
        ((160.0,), {"data_type": "token", "dataset_items": 5}, 5),
    ],
)
def test_boamps_has_the_samples_on_which_the_runs_agree(
    tmp_path: Path,
    of_runs: tuple[float | None, ...],
    facts: dict[str, Any],
    expected: float | None,
) -> None:
    disclosed = kept(
        tmp_path,
        *(
            replace(report_of(f"{i}"), work=Work(10, 20), dataset_samples=samples)
            for i, samples in enumerate(of_runs)
        ),
    )
    assert missing(format_of("boamps"), disclosed, given(**facts)) == ()
    text = text_of("boamps", disclosed, **facts)
    assert judges.of_boamps(text) == []
    (dataset,) = json.loads(text)["task"]["dataset"]
    assert dataset.get("dataQuantity") == expected


def test_hardware_and_location_of_the_user_are_stated(runs: Disclosed) -> None:
    stated = {"hardware": "8 x H200", "location": "Lille"}
    texts = documents(format_of("boamps"), runs, given(**stated))
    assert [judges.of_boamps(text) for text in texts.values()] == [[]] * 4
    report = json.loads(texts["training-FRA.json"])
    assert report["infrastructure"]["components"] == [
        {"componentType": "other", "componentName": "8 x H200", "nbComponent": 1}
    ]
    assert report["environment"]["country"] == "France"
    assert report["environment"]["location"] == "Lille"
    assert json.loads(texts["training.json"])["environment"]["country"] == "Lille"
    found = text_of("cyclonedx", runs, **stated)
    assert '"value": "8 x H200"' in found
    assert '"description": "Lille"' in found
    assert judges.of_cyclonedx(found) == []


def test_boamps_states_framework_and_class_of_each_model_once(tmp_path: Path) -> None:
    def run(run_id: str, model_class: str, **facts: str) -> Report:
        one = report_of(run_id)
        host = replace(one.host, facts=facts)
        return replace(one, run=replace(one.run, model_class=model_class), host=host)

    disclosed = kept(
        tmp_path,
        run("1", "net.Net", torch_version="2.9.0"),
        run("2", "net.Net", torch_version="2.9.0"),
        run("3", "keras.src.Model", torch_version="2.9.0", keras_version="3.12.0"),
    )
    text = text_of("boamps", disclosed, parameters=2e9)
    assert judges.of_boamps(text) == []
    of_all = {
        "algorithmName": " ".join(NAME.replace("\u202e", " ").split("\n")),
        "parametersNumber": 2,
    }
    assert json.loads(text)["task"]["algorithms"] == [
        {**of_all, "framework": "pytorch", "frameworkVersion": "2.9.0", "classPath": "net.Net"},
        {
            **of_all,
            "framework": "keras",
            "frameworkVersion": "3.12.0",
            "classPath": "keras.src.Model",
        },
    ]


def test_boamps_names_all_of_a_thousand_runs(tmp_path: Path) -> None:
    (one,) = kept(tmp_path, report_of()).activities
    many = [one._replace(run_id=f"{i:036}") for i in range(1_000)]
    many.append(one._replace(run_id="nothing", kind="inference", energy_kwh=None))
    disclosed = collect_runs([tmp_path])
    stages = {**disclosed.by_kind, "inference": Group(1, 1.0, None, None, 1)}
    disclosed = disclosed._replace(activities=tuple(many), by_kind=stages)
    text = text_of("boamps", disclosed)
    assert all(text.count(run.run_id) == 1 for run in many)


def test_one_boamps_report_is_plain_json(tmp_path: Path) -> None:
    assert list(documents(format_of("boamps"), kept(tmp_path, report_of()), given())) == ["json"]


def test_a_publisher_is_named_with_its_confidentiality_only(tmp_path: Path) -> None:
    disclosed = kept(tmp_path, report_of())
    assert "publisher" not in json.loads(text_of("boamps", disclosed))["header"]
    report = json.loads(text_of("boamps", disclosed, confidentiality="public"))
    assert report["header"]["publisher"] == {
        "name": "Example & Sons",
        "confidentialityLevel": "public",
    }


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("cyclonedx", ["model_name"]),
        (
            "spdx",
            ["model_name", "model_version", "provider", "release_time", "download_location"],
        ),
        ("boamps", ["model_name", "task_family", "infrastructure", "data_type"]),
    ],
)
def test_what_is_missing_is_one_list(name: str, keys: list[str], runs: Disclosed) -> None:
    assert [one.key for one in missing(format_of(name), runs, Facts())] == keys
    with pytest.raises(MissingFactsError, match=keys[0]):
        documents(format_of(name), runs, Facts())


def test_counted_tokens_are_the_kind_of_the_data(tmp_path: Path) -> None:
    disclosed = kept(tmp_path, replace(report_of(), work=Work(10, 20, 3_000)))
    text = text_of("boamps", disclosed, data_type="")
    assert json.loads(text)["task"]["dataset"] == [{"dataUsage": "input", "dataType": "token"}]


def test_runs_of_unknown_kind_need_a_kind_where_a_format_has_no_other_field(tmp_path: Path) -> None:
    disclosed = kept(tmp_path, replace(report_of(), phases=()))
    for name in ("spdx", "boamps"):
        (lacking,) = missing(format_of(name), disclosed, given(run_kind=""))
        assert lacking.key == "run_kind"
        assert "--set run_kind=training|evaluation|inference" in lacking.where
        assert JUDGES[name](text_of(name, disclosed)) == []
    found = consumptions(text_of("cyclonedx", disclosed, run_kind=""))
    assert [one["activity"] for one in found] == ["other"]


def test_the_energy_of_a_command_around_a_training_is_not_left_out_of_spdx(tmp_path: Path) -> None:
    outer = replace(report_of("outer", kwh=3.0), phases=())
    disclosed = kept(tmp_path, outer, report_of("inner", kwh=2.0, within=("outer",)))
    (lacking,) = missing(format_of("spdx"), disclosed, given(run_kind=""))
    assert lacking.key == "run_kind"
    energy = judges.spdx_element(text_of("spdx", disclosed), "ai_AIPackage")["ai_energyConsumption"]
    amounts = [one["ai_energyQuantity"] for one in energy["ai_trainingEnergyConsumption"]]
    assert sum(amounts) == pytest.approx(1.5 * 3.0)


def test_spdx_needs_a_training_or_inference(tmp_path: Path) -> None:
    disclosed = kept(
        tmp_path, replace(report_of("evaluation", phases_synced=True), phases=EVALUATED)
    )
    (lacking,) = missing(format_of("spdx"), disclosed, given())
    assert lacking.what == "Measured runs of a training or of inference."


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_but_ids_and_times_differs_between_two_documents(
    name: str, runs: Disclosed
) -> None:
    first, second = (documents(format_of(name), runs, given()) for _ in range(2))
    assert first.keys() == second.keys()
    for suffix, text in first.items():
        assert text != second[suffix]
        assert comparable(text) == comparable(second[suffix])


def comparable(text: str) -> Any:
    """Return a document without its own ids and times."""
    data = json.loads(text)
    if "@graph" in data:
        order = [one.get("spdxId") for one in data["@graph"]]
        for i, spdx_id in enumerate(order):
            text = text.replace(str(spdx_id), f"element {i}")
        data = json.loads(text)
        data["@graph"][0].pop("created")
        return data
    data = copy.deepcopy(data)
    for block, key in (
        ("header", "reportId"),
        ("header", "reportDatetime"),
        ("metadata", "timestamp"),
    ):
        data.get(block, {}).pop(key, None)
    data.pop("serialNumber", None)
    return data


@pytest.mark.parametrize("name", FORMATS)
def test_ranks_restarts_killed_runs_and_rows_pass_the_judges(name: str, project: Path) -> None:
    disclosed = collect_runs([project])
    texts = documents(format_of(name), disclosed, given(data_type="image"))
    assert [one for text in texts.values() for one in JUDGES[name](text)] == []
    whole = "".join(texts.values())
    for activity in disclosed.activities:
        if name != "boamps" or activity.energy_kwh is not None:
            assert activity.run_id in whole


def test_figures_add_up_to_the_total_of_a_project(project: Path) -> None:
    disclosed = collect_runs([project])
    assert disclosed.energy_kwh is not None
    total = pytest.approx(disclosed.energy_kwh.value)
    found = consumptions(text_of("cyclonedx", disclosed))
    assert sum(one["activityEnergyCost"]["value"] for one in found) == total
    texts = documents(format_of("boamps"), disclosed, given(data_type="image")).values()
    measures = [one for text in texts for one in json.loads(text)["measures"]]
    assert sum(one["powerConsumption"] for one in measures) == total


# --- the history of CodeCarbon: only a CSV file ---

# Columns and cells as CodeCarbon 2 and 3 write them.
HEADER = (
    "timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,cpu_power,gpu_power,"
    "ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,country_name,country_iso_code,region,"
    "cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,"
    "gpu_model,longitude,latitude,ram_total_size,tracking_mode,on_cloud,pue"
)
ROW = (
    "2025-02-03T10:00:00,{project},{run},e1,3600.0,0.35,9.7e-05,42.5,100.0,11.0,0.04,0.1,0.01,{kwh},"
    "France,FRA,ile-de-france,,,Linux-6.1,3.11.4,{version},40,Intel Xeon,2.0,2 x Tesla V100,2.3,48.8,"
    "62.7,machine,N,1.0"
)


@pytest.fixture
def history(tmp_path: Path) -> Disclosed:
    """Rows of two versions of CodeCarbon, and one without energy."""
    rows = [
        ROW.format(project="codecarbon", run="old", kwh="0.15", version="2.8.2"),
        ROW.format(project='"a|b ""c"" & d"', run="new", kwh="0.25", version="3.3.2"),
        ROW.format(project="codecarbon", run="empty", kwh="", version="3.3.2"),
    ]
    path = tmp_path / "emissions.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return collect_runs([path])


@pytest.mark.parametrize("name", FORMATS)
def test_a_history_of_codecarbon_passes_the_judges(name: str, history: Disclosed) -> None:
    text = text_of(name, history)
    assert JUDGES[name](text) == []
    assert "old" in text


def test_rows_of_codecarbon_are_named_with_their_program(history: Disclosed) -> None:
    report = json.loads(text_of("boamps", history))
    assert [(one["measurementMethod"], one["version"]) for one in report["measures"]] == [
        ("codecarbon", "3.3.2"),
        ("codecarbon", "2.8.2"),
    ]
    assert "quality" not in report  # without intervals, it is unknown
    components = report["infrastructure"]["components"]
    assert {one["componentType"]: one["nbComponent"] for one in components} == {
        "cpu": 1, "gpu": 2, "ram": 1,
    }  # fmt: skip


def test_the_choices_of_facts_are_those_of_the_formats() -> None:
    choices = {one.key: one.choices for one in FACTS}
    assert choices["data_type"] == boamps_fields.DATA_TYPES
    assert choices["infrastructure"] == boamps_fields.INFRASTRUCTURES
    assert choices["confidentiality"] == boamps_fields.CONFIDENTIALITY

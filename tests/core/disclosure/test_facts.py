"""Facts that the user supplies: each error names the key, its source, and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carbon_core.disclosure.facts import FACTS, Facts
from carbon_core.disclosure.formats import (
    FORMATS,
    OF_RUNS,
    MissingFactsError,
    disclosure_documents,
    format_of,
)
from carbon_core.disclosure.market import market_based
from carbon_core.errors import ConfigError
from carbon_core.records import Estimate


def test_arguments_have_precedence_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"model_name": " a ", "flops": 10**23, "parameters": 7e9}))
    facts = Facts.read(path, ["flops=2.5e24", "provider=x=y"])
    assert facts.text("model_name") == "a"
    assert facts.number("flops") == 2.5e24
    assert facts.number("parameters") == 7e9
    assert facts.text("provider") == "x=y"
    assert (facts.origin("flops"), facts.origin("parameters")) == ("--set", str(path))
    assert "model_version" not in facts
    assert facts.text("model_version") == ""
    assert facts.number("offset_kg") is None


BAD = {
    '{"modle_name": "a"}': "unknown fact 'modle_name'; did you mean 'model_name'",
    '{"zzz": "a"}': "known are model_name, ",
    '{"model_name": 3}': "model_name must be a text of 1 to 10000 characters, not 3",
    '{"model_name": " "}': "model_name must be a text",
    '{"flops": "1e23"}': "flops must be a number of at least 0 in FLOP",
    '{"flops": -1}': "flops must be a number of at least 0",
    '{"flops": NaN}': "flops must be a number",
    '{"flops": true}': "flops must be a number",
    '{"flops": 1e999}': "flops must be a number",
    '{"flops": %s}' % ("9" * 5000): "facts.json",
    '{"training_type": "other"}': "training_type must be one of pre-training, fine-tuning",
    "[]": "must be a JSON object of facts",
    "{": "is not valid JSON",
    "[" * 100_000: "is not valid JSON",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_wrong_in_a_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        Facts.read(path)
    assert BAD[text] in str(found.value)
    assert str(path) in str(found.value)
    assert len(str(found.value)) < 1500


@pytest.mark.parametrize("setting", ["model_name", "=x", "flops=x", "flops=inf", "x=1"])
def test_what_is_wrong_in_an_argument_is_named(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set"):
        Facts.read(None, [setting])


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read"):
        Facts.read(tmp_path / "absent.json")


def test_each_row_of_the_tables_names_what_exists() -> None:
    keys = [one.key for one in FACTS]
    assert len(set(keys)) == len(keys)
    for row in FORMATS:
        assert set(row.required) <= {*keys, *OF_RUNS}, row.name
    with pytest.raises(ConfigError, match="known are gpai, "):
        format_of("nonsense")


def test_all_that_is_missing_is_one_list(project: Path) -> None:
    from carbon_core.disclosure.collecting import collect_runs

    given = Facts({"market_g_per_kwh": 1.0, "certificates_kwh": 1.0, "offset_kg": 1.0})
    empty = collect_runs([project / "nothing"])
    with pytest.raises(MissingFactsError) as found:
        disclosure_documents("gpai", empty, given)
    keys = [one.key for one in found.value.missing]
    assert keys == [
        "model_name",
        "training_energy",
        "market_source",
        "certificates_source",
        "offset_source",
    ]
    assert "--set model_name=VALUE" in str(found.value)


KWH, KG = Estimate(10.0, 8.0, 13.0), Estimate(1.0, 0.7, 1.4)
GIVEN = {"market_source": "a contract", "certificates_source": "a registry"}


@pytest.mark.parametrize(
    ("facts", "kg", "covered_kwh"),
    [
        ({"market_g_per_kwh": 50.0}, (0.5, 0.4, 0.65), 0.0),
        ({"market_g_per_kwh": 50.0, "certificates_kwh": 9.0}, (0.05, 0.0, 0.2), 9.0),
        ({"certificates_kwh": 5.0}, (0.5, 0.3, 0.8), 5.0),
        ({"certificates_kwh": 50.0}, (0.0, 0.0, 0.0), 10.0),
        ({"market_g_per_kwh": 0.0}, (0.0, 0.0, 0.0), 0.0),
    ],
)
def test_market_based_emissions_are_of_what_was_bought(
    facts: dict[str, float], kg: tuple[float, ...], covered_kwh: float
) -> None:
    found = market_based(KWH, KG, Facts({**facts, **GIVEN}))
    assert found is not None
    assert found.emissions_kg == pytest.approx(kg)
    assert found.covered_kwh == covered_kwh
    assert found.by_location == ("market_g_per_kwh" not in facts)


def test_without_figures_of_the_user_there_are_no_market_based_emissions() -> None:
    assert market_based(KWH, KG, Facts(GIVEN)) is None
    assert market_based(None, None, Facts({"market_g_per_kwh": 50.0})) is None
    assert market_based(KWH, None, Facts({"certificates_kwh": 50.0})) is None

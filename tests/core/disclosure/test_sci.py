"""Software Carbon Intensity: the worked examples of the specifications, boundaries and intervals."""

from __future__ import annotations

from typing import Any

import pytest
from core.disclosure.disclosed_runs import activity, disclosed, exact

from carbon_core.disclosure import sci
from carbon_core.disclosure.facts import Facts
from carbon_core.errors import ConfigError
from carbon_core.records import Estimate
from carbon_core.run_facts import Work

REQUIRED = {"functional_unit_values": "gross", "functional_unit_rationale": "compute"}


@pytest.mark.parametrize(
    ("operational_kg", "embodied_kg", "count", "exponent", "grams"),
    [
        # SCI for AI, annex C.1.1: 130 kg per 10^9 tokens.
        (5_000, 1_500, 50e9, 9, 130_000),
        # C.1.2: 4 g per 10^15 FLOPs.
        (180_000, 20_000, 5e22, 15, 4.0),
        # C.2.1: 0.08 g per inference; C.2.2: 30,000 kg per 10^9 parameters.
        (3_200, 0, 40e6, 0, 0.08),
        (75_000, 0, 2.5e9, 9, 30_000_000),
        # The case study eShoppen of ISO/IEC 21031: application, 0.0656 kWh at 951 g/kWh and 4.305 g.
        (0.0656 * 0.951, 0.004305, 1, 0, 66.6906),
        # Its database: 0.048 kWh and 5.112 g.
        (0.048 * 0.951, 0.005112, 1, 0, 50.76),
    ],
)
def test_worked_examples(
    operational_kg: float, embodied_kg: float, count: float, exponent: int, grams: float
) -> None:
    found = sci.score(exact(operational_kg), exact(embodied_kg), count)
    assert found.total_g is not None
    assert found.total_g.value * 10**exponent == pytest.approx(grams, rel=1e-4)
    assert found.total_g.low == found.total_g.value == found.total_g.high


@pytest.mark.parametrize(
    ("kg", "count", "exponent"),
    [
        (200_000, 5e22, 15),
        (3_200, 40e6, 0),
        (6.5, 50e9, 6),
        (0.0, 1e9, 9),
        (1e-9, 1, 0),
        (1e-9, 5e3, 3),
    ],
)
def test_a_rate_is_shown_per_a_power_of_a_thousand_units(
    kg: float, count: float, exponent: int
) -> None:
    assert sci.score(exact(kg), None, count).exponent == exponent


def test_hardware_is_reported_apart_and_its_errors_are_independent() -> None:
    found = sci.score(Estimate(10.0, 7.0, 13.0), Estimate(10.0, 6.0, 14.0), 1000.0)
    assert found.operational_g == (10.0, 7.0, 13.0)
    assert found.embodied_g == (10.0, 6.0, 14.0)
    assert found.total_g == pytest.approx((20.0, 15.0, 25.0))
    assert sci.score(exact(1.0), None, 1.0).total_g is None


def test_failed_runs_and_evaluations_are_within_the_boundary_of_a_provider() -> None:
    runs = disclosed(
        activity(work=Work(tokens=1e6)),
        activity(status="failed", work=Work(tokens=5e5)),
        activity("evaluation"),
        activity("", status=""),
        activity("inference", emissions_kg=exact(100.0)),
        activity(energy_kwh=None, emissions_kg=None),
    )
    found = sci.result(runs, Facts({"functional_unit": "token"}))
    assert found.units == 1.5e6
    assert len(found.boundary.activities) == 5
    assert found.boundary.outside == 1
    assert found.boundary.unknown == 1
    assert found.boundary.operational_kg == pytest.approx((4.0, 2.0, 8.0))
    assert found.boundary.g_per_kwh == pytest.approx(100.0)
    assert found.score.operational_g == pytest.approx((4000 / 1.5e6, 2000 / 1.5e6, 8000 / 1.5e6))
    assert found.embodied is None


def test_a_consumer_counts_inference_only() -> None:
    served = activity("inference", requests=40, served_tokens=1000, emissions_kg=exact(2.0))
    runs = disclosed(activity(), served)
    assert sci.result(runs, Facts({"functional_unit": "request"})).score.operational_g == exact(
        50.0
    )
    found = sci.result(runs, Facts({"functional_unit": "served-token"}))
    assert found.score.operational_g == exact(2.0)
    assert [one.kind for one in found.boundary.activities] == ["inference"]


def test_a_training_is_counted_once_with_all_its_restarts_and_ranks() -> None:
    runs = disclosed(
        activity(status="interrupted"),
        activity(),
        activity(rank=1),
        activity("evaluation"),
        activity("", part_of=""),
    )
    assert sci.result(runs, Facts({"functional_unit": "run"})).units == 1
    rows = disclosed(activity("", ""), activity("", ""), activity("", "", part_of="x"))
    assert sci.result(rows, Facts({"functional_unit": "run"})).units == 2


def test_the_users_number_of_units_precedes_that_of_the_runs() -> None:
    runs = disclosed(activity(work=Work(flops=1e18)))
    assert sci.result(runs, Facts({"functional_unit": "flop"})).units == 1e18
    given = Facts({"functional_unit": "flop", "flops": 2e18}, "mine.json")
    assert sci.result(runs, given).units == 2e18
    assert sci.result(runs, given).units_source == "mine.json"
    given.add({"functional_unit_count": "3e18"}, "--set", from_text=True)
    assert sci.result(runs, given).units == 3e18


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        ({}, ("functional_unit",)),
        ({"functional_unit": "parameter"}, ("parameters", *REQUIRED)),
        ({"functional_unit": "flop"}, ("flops", *REQUIRED)),
        ({"functional_unit": "token"}, ("functional_unit_count", *REQUIRED)),
        ({"functional_unit": "sample"}, ("functional_unit_count",)),
        ({"functional_unit": "run"}, ()),
        ({"functional_unit": "request"}, ("inference_emissions", "functional_unit_count")),
    ],
)
def test_what_a_unit_requires(facts: dict[str, Any], missing: tuple[str, ...]) -> None:
    assert sci.required(disclosed(activity()), Facts(facts)) == missing


def test_a_score_of_runs_without_energy_requires_others() -> None:
    runs = disclosed(activity(energy_kwh=None, emissions_kg=None))
    assert sci.required(runs, Facts({"functional_unit": "run"})) == ("training_emissions",)


@pytest.mark.parametrize("key", ["parameters", "functional_unit_count"])
def test_a_number_of_units_below_one_is_refused(key: str) -> None:
    facts = Facts({"functional_unit": "parameter", key: 0.0}, "mine.json")
    with pytest.raises(ConfigError, match=f"mine.json: {key} must be at least 1"):
        sci.result(disclosed(activity()), facts)

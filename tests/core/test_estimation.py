"""The estimate of a training: from past trainings, from FLOPs, its cost and its budget."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta, timezone

import pytest
from core.outputs.conftest import report_of

from carbon_core.errors import CarbonError
from carbon_core.estimation import (
    Cost,
    Planned,
    TrainingEstimate,
    by_start_hour,
    cost,
    from_flops,
    from_runs,
    holds,
    middle,
    of_machine,
)
from carbon_core.intensity import tables
from carbon_core.outputs import receipt_reading
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.record import replace
from carbon_core.records import Estimate, Intensity
from carbon_core.report import Phase
from carbon_core.run_facts import Work
from carbon_core.units import JOULES_PER_KWH

THOUSAND = Work(steps=1000.0)


def past(
    kwh: float = 4.0,
    work: Work = THOUSAND,
    setup: float = 0.0,
    name: str = "run-1",
    **facts: object,
) -> Receipt:
    """Return the receipt of a training of two hours, of which `setup` (0 to 1) was its setup."""
    report = report_of(name, kwh=kwh, **{"pue": 1.0, **facts})
    joules, seconds = report.window.joules, report.duration_s
    phases = (
        Phase("setup", setup * seconds, setup * joules, 1),
        Phase("train", (1 - setup) * seconds, (1 - setup) * joules, 1),
    )
    return receipt_reading.of_report(replace(report, phases=phases, work=work))


def relative(estimate: Estimate) -> tuple[float, float]:
    return estimate.low / estimate.value, estimate.high / estimate.value


def planned(kwh: float = 10.0, seconds: float = 7200.0) -> Planned:
    return Planned(
        Estimate(kwh, kwh / 1.2, kwh * 1.2), Estimate(seconds, seconds / 1.1, seconds * 1.1), "test"
    )


def test_the_energy_follows_the_amount_of_work_and_the_setup_is_counted_once():
    found = from_runs([past(4.0, setup=0.25)], Work(steps=2000.0))
    assert found.energy_kwh.value == pytest.approx(1.0 + 3.0 * 2)
    assert found.duration_s.value == pytest.approx(7200 * (0.25 + 0.75 * 2))
    assert found.rate_j.value == pytest.approx(3.0 * JOULES_PER_KWH / 1000)
    assert (found.per, found.amount, found.basis) == ("step", 2000.0, "1 past training")


@pytest.mark.parametrize("unit", ["steps", "samples", "tokens"])
def test_each_unit_of_work_may_be_planned(unit):
    run = past(4.0, Work(**{unit: 500.0}))
    found = from_runs([run], Work(**{unit: 1000.0}))
    assert found.per == unit.removesuffix("s")
    assert found.energy_kwh.value == pytest.approx(8.0)


def test_without_an_amount_a_training_is_as_the_past_ones():
    found = from_runs([past(4.0), past(5.0, name="run-2")], Work())
    assert found.energy_kwh.value == pytest.approx(math.sqrt(20.0))
    assert (found.per, found.rate_j, found.amount) == ("", None, None)


def test_a_unit_that_was_not_counted_is_an_error_and_is_named():
    with pytest.raises(CarbonError, match="tokens"):
        from_runs([past(4.0)], Work(tokens=10.0))


def test_receipts_of_older_versions_have_no_work():
    run = past(4.0, Work())
    assert from_runs([run], Work()).energy_kwh.value == pytest.approx(4.0)
    with pytest.raises(CarbonError, match="steps"):
        from_runs([run], Work(steps=10.0))


def test_more_past_trainings_make_the_interval_narrower_and_a_spread_wider():
    alike = [past(4.0, name=f"run-{i}") for i in range(20)]
    spread = [past(4.0 * (1.5 if i % 2 else 1.0), name=f"run-{i}") for i in range(20)]
    widths = [
        relative(from_runs(runs, Work(steps=1000.0)).energy_kwh)[1]
        for runs in (alike, alike[:3], alike[:1], spread)
    ]
    assert widths[0] < widths[1] < widths[2]
    assert widths[0] < widths[3]


def test_the_interval_is_never_narrower_than_that_of_the_meters():
    runs = [past(4.0, name=f"run-{i}") for i in range(50)]
    low, high = relative(from_runs(runs, Work()).energy_kwh)
    of_meters = relative(runs[0].energy_kwh.estimate)
    assert low <= of_meters[0]
    assert high >= of_meters[1]


def test_an_amount_that_no_training_had_is_less_certain_in_both_directions():
    widths = [
        relative(from_runs([past()], Work(steps=steps)).energy_kwh)[1]
        for steps in (1000.0, 10_000.0, 100.0)
    ]
    assert widths[1] > widths[0] < widths[2]
    assert widths[1] == pytest.approx(widths[2])


def test_other_ranks_count_and_earlier_starts_do_not():
    run = past(4.0)
    other = replace_segment(run, "other", 4.0)
    both = replace(
        run, other_ranks=(other,), earlier_starts=(replace_segment(run, "earlier", 9.0),)
    )
    assert from_runs([both], Work(steps=1000.0)).energy_kwh.value == pytest.approx(8.0)


def replace_segment(run: Receipt, run_id: str, kwh: float) -> object:
    return run.segment._replace(run_id=run_id, energy_kwh=kwh)


def test_only_completed_trainings_of_the_machine_and_of_the_first_rank_count():
    good = past(name="good")
    evaluation = replace(good, phases=tuple(
        replace(one, name="validate") for one in good.phases if one.name == "train"
    ))  # fmt: skip
    failed = replace(good, status="failed")
    unknown = replace(good, is_known=False)
    second = replace(good, run=replace(good.run, rank=1))
    runs = [evaluation, failed, unknown, second, good]
    assert of_machine(runs, lambda one: True) == [good]
    assert of_machine(runs, lambda one: False) == []


def test_runs_of_a_command_count_where_there_is_no_training():
    command = replace(past(), phases=())
    assert of_machine([command], lambda one: True) == [command]
    assert of_machine([command, past(name="run-2")], lambda one: True) == [past(name="run-2")]


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("sd", [0.01, 0.05, 0.12])
def test_one_more_training_is_within_the_interval_nine_times_in_ten(n, sd):
    rng, held, tries = random.Random(5), 0, 60
    for _ in range(tries):
        runs = [
            past(
                4.0 * math.exp(rng.gauss(0, sd)), name=f"run-{i}", started_at=f"2026-01-{i + 1:02}"
            )
            for i in range(n)
        ]
        found = from_runs(runs, Work(steps=1000.0)).energy_kwh
        held += found.low <= 4.0 * math.exp(rng.gauss(0, sd)) <= found.high
    assert held / tries >= 0.9


def test_flops_give_time_and_energy_whose_intervals_hold_both_uncertainties():
    found = from_flops(1e18, 1e14, middle(0.25, 1.0), middle(200.0, 800.0))
    assert found.duration_s == pytest.approx((2e4, 1e4, 4e4))
    assert found.energy_kwh.value == pytest.approx(2e4 * 400 / JOULES_PER_KWH)
    assert relative(found.energy_kwh)[1] == pytest.approx(
        math.exp(math.hypot(math.log(2), math.log(2)))
    )


def test_the_cost_in_a_place_has_the_uncertainty_of_its_intensity():
    one = planned()
    exact = cost(one, Intensity(100.0, "here", "me", "user", None, 0.0), 2026)
    france = cost(one, tables.country("FRA"), 2026)
    assert exact.emissions_kg == pytest.approx((1.0, 1.0 / 1.2, 1.2))
    assert relative(france.emissions_kg)[1] > 1.2


HERE = Cost(Intensity(100.0, "here", "me", "user", None, 0.0), Estimate(1.0, 0.8, 1.2))


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        ({}, None),
        ({"budget_kwh": 12.1}, "holds"),
        ({"budget_kwh": 11.0}, "uncertain"),
        ({"budget_kwh": 9.9}, "exceeded"),
        ({"budget_kwh": 12.1, "budget_kg_co2e": 1.1}, "uncertain"),
        ({"budget_kwh": 9.9, "budget_kg_co2e": 5.0}, "exceeded"),
    ],
)
def test_a_budget_holds_only_if_the_whole_interval_does(limits, state):
    assert TrainingEstimate(planned(), HERE, limits).budget == state


def test_the_edges_of_a_limit():
    one = Estimate(2.0, 1.0, 3.0)
    assert [holds(one, limit) for limit in (3.0, 2.999, 2.0, 1.999)] == [
        "holds", "uncertain", "uncertain", "exceeded",
    ]  # fmt: skip


def test_the_summary_names_the_basis_the_place_and_the_budgets():
    text = str(TrainingEstimate(planned(), HERE, {"budget_kwh": 11.0}))
    assert "test" in text
    assert "here" in text
    assert text.endswith("budget_kwh: uncertain")


@pytest.mark.parametrize("code", ["POL", "pol", "PL"])
def test_the_emissions_in_a_country_are_found_by_both_codes(code):
    assert TrainingEstimate(planned(), HERE, {}).in_country(code).intensity.place == "Poland"


@pytest.mark.parametrize("code", ["", "XX", "Poland", "EU27"])
def test_an_unknown_country_is_an_error(code):
    with pytest.raises(CarbonError, match="country"):
        TrainingEstimate(planned(), HERE, {}).in_country(code)


def hourly(days: int, value_of) -> list[Intensity]:
    begin = datetime(2026, 3, 1, tzinfo=timezone.utc)
    times = [begin + timedelta(hours=i) for i in range(24 * days)]
    return [
        Intensity(value_of(time), "zone", "file", "user", None, 0.0, time=time.isoformat())
        for time in times
    ]


def test_the_hour_of_the_start_decides_where_hourly_data_exist():
    found = by_start_hour(
        planned(seconds=7200), hourly(3, lambda t: 50.0 if t.hour in (2, 3) else 100.0)
    )
    by_hour = {one.hour: one for one in found}
    assert by_hour[2].g_per_kwh == pytest.approx(50.0)
    assert by_hour[1].g_per_kwh == by_hour[3].g_per_kwh == pytest.approx(75.0)
    assert by_hour[2].emissions_kg.value == pytest.approx(0.5)
    assert len(found) == 24
    assert {one.days for one in found} == {
        2,
        3,
    }  # at the end, the last hour of the third day is missing


def test_days_that_differ_widen_the_interval():
    same = by_start_hour(planned(), hourly(4, lambda t: 100.0))
    other = by_start_hour(planned(), hourly(4, lambda t: 100.0 * t.day))
    assert relative(other[0].emissions_kg)[1] > relative(same[0].emissions_kg)[1]


def test_a_single_day_shows_nothing_of_the_others():
    (first, *_) = by_start_hour(planned(seconds=600), hourly(1, lambda t: 100.0))
    assert relative(first.emissions_kg)[1] > 1.3


def test_hours_that_are_missing_and_trainings_longer_than_the_data_give_nothing():
    values = [one for one in hourly(1, lambda t: 100.0) if "T05" not in one.time]
    found = by_start_hour(planned(seconds=7200), values)
    assert {4, 5}.isdisjoint(one.hour for one in found)
    assert by_start_hour(planned(seconds=1e6), values) == []
    assert by_start_hour(planned(), []) == []


def test_a_grid_without_emissions_costs_nothing():
    found = by_start_hour(planned(seconds=600), hourly(2, lambda t: 0.0))
    assert found[0].emissions_kg == (0.0, 0.0, 0.0)

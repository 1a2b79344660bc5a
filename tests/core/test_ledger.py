"""The ledger: what a reading adds, what goes missing, and what the grams come to."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest

from carbon_core import methods, uncertainty, units
from carbon_core.emissions_curve import EmissionsCurve
from carbon_core.ledger import Account, Ledger
from carbon_core.record import replace
from carbon_core.records import Device, Energy, Intensity, Reading, Snapshot
from carbon_core.testing import fake_device

S = units.NANOSECONDS_PER_SECOND
OPENED = 1_000 * S


def account(opened_s: float = 0.0, **device: object) -> Account:
    return Account(fake_device("gpu", **device), OPENED + units.nanoseconds(opened_s))


def feed(to: Account, *readings: tuple[float, float | None]) -> Energy:
    """Book readings given as (seconds since the opening, value)."""
    for second, value in readings:
        to.update(OPENED + units.nanoseconds(second), value)
    return amounts(to.energy)


def amounts(energy: Energy) -> Energy:
    """Return an energy without the spread of what was extrapolated."""
    return energy._replace(extrapolated_sd_j=0.0)


def watts(**more: object) -> Device:
    return fake_device("gpu", kind="power", **more)


# --- counters -------------------------------------------------------------------------------------


def test_a_counter_gives_the_difference_of_its_readings() -> None:
    assert feed(account(), (0, 5_000.0), (10, 6_500.0), (15, 7_000.0)) == Energy(2_000.0, 0.0, 0.0)


def test_what_came_before_the_first_reading_is_extrapolated_and_told() -> None:
    energy = feed(account(), (2, 100.0), (12, 1_100.0))
    assert energy == Energy(1_000.0, 200.0, 2.0)


def test_a_wrap_counts_once() -> None:
    energy = feed(account(wrap_j=262_144.0), (0, 262_000.0), (10, 856.0))
    assert energy == Energy(1_000.0, 0.0, 0.0)


def test_rounds_made_unseen_count_when_the_power_before_says_so() -> None:
    of = account(wrap_j=1_000.0)
    # 100 W for 27 s is two rounds and 700 J, of which the counter shows the 700 J only.
    assert feed(of, (0, 0.0), (5, 500.0), (32, 200.0)) == Energy(3_200.0, 0.0, 0.0)


def test_no_round_is_added_below_the_power_that_would_have_made_it() -> None:
    of = account(wrap_j=1_000.0)
    assert feed(of, (0, 0.0), (5, 500.0), (14, 600.0)) == Energy(600.0, 0.0, 0.0)


def test_no_round_is_added_that_no_device_could_make() -> None:
    of = account(wrap_j=1_000.0, max_power_w=101.0)
    # Nearest to the 1,010 J expected is 1,400 J: more than 101 W could have drawn.
    assert feed(of, (0, 0.0), (5, 505.0), (15, 905.0)) == Energy(905.0, 0.0, 0.0)


def test_a_reset_is_missing_and_carried_over_at_the_power_before() -> None:
    energy = feed(account(wrap_j=262_144.0), (0, 100.0), (10, 1_100.0), (20, 0.0), (30, 500.0))
    assert energy == Energy(1_500.0, 1_000.0, 10.0)


def test_a_counter_that_restarts_while_it_cannot_be_read_has_not_gone_round() -> None:
    of = account(wrap_j=10_000.0)
    # As a wrap, 2,600 J would be 7,600 J in 30 s: more than twice the power before and after.
    feed(of, (0, 4_000.0), (10, 5_000.0), (20, None), (30, None), (40, 2_600.0), (50, 3_600.0))
    measured_j, extrapolated_j, _, extrapolated_sd_j = of.energy
    assert (measured_j, extrapolated_j) == (pytest.approx(2_000.0), pytest.approx(3_000.0))
    assert extrapolated_sd_j == pytest.approx(3_000.0 * math.log(2))


def test_a_counter_that_goes_round_while_a_load_begins_counts_though_it_cannot_be_read() -> None:
    of = account(wrap_j=10_000.0)
    # 10 W, and 150 W from the tenth second on.
    energy = feed(
        of, (0, 6_000.0), (10, 6_100.0), (20, None), (30, None), (40, 600.0), (50, 2_100.0)
    )
    assert (energy.measured_j, energy.extrapolated_j) == (pytest.approx(6_100.0), 0.0)


def test_a_reset_of_a_counter_that_never_wraps() -> None:
    energy = feed(account(), (0, 1e6), (10, 1e6 + 500), (20, 3.0), (30, 603.0))
    assert energy == Energy(1_100.0, 500.0, 10.0)


@pytest.mark.parametrize("absurd", [2.0**63, -1.0, math.nan, math.inf, 1e6])
def test_an_absurd_value_is_refused_and_the_counter_makes_up_for_it(absurd: float) -> None:
    of = account()
    assert feed(of, (0, 0.0), (10, 1_000.0), (20, absurd)) == Energy(1_000.0, 1_000.0, 10.0)
    assert feed(of, (30, 3_500.0)).joules == 3_500.0


def test_a_single_reading_of_zero_is_not_booked_as_a_rise_from_zero() -> None:
    """A counter that shows 0 once and then its old value again must not be booked from 0."""
    of = account()
    feed(of, (0, 1e6), (10, 1e6 + 1_000), (20, 0.0))
    for second in range(30, 1_000, 10):
        feed(of, (second, 1e6 + 100 * second))
    assert of.energy.joules == pytest.approx(99_000, rel=0.01)


def test_a_jump_that_stays_is_never_booked() -> None:
    """A counter that leaps and goes on from there, as after a migration, counts from the leap."""
    of = account()
    feed(of, (0, 0.0), (10, 1_000.0))
    for second in range(20, 2_000, 10):
        feed(of, (second, 1e6 + 100 * second))
    assert of.energy.joules == pytest.approx(199_000, rel=0.01)


def test_failed_reads_are_missing_and_the_surviving_counter_repays_them() -> None:
    of = account()
    assert feed(of, (0, 0.0), (10, 1_000.0), (20, None), (30, None)) == Energy(1_000.0, 2_000.0, 20)
    # It drew 2,400 J meanwhile and another 100 J since: in all 3,500 J.
    feed(of, (31, 3_500.0))
    assert of.energy == Energy(3_500.0, 0.0, 20.0, 0.0), "confirmed joules are measured"


def test_what_was_extrapolated_too_high_is_repaid_by_later_readings() -> None:
    of = account()
    feed(of, (0, 0.0), (10, 1_000.0), (20, None), (30, 1_100.0))
    # More than the 1,100 J drawn, for totals never fall: the rest is known to be too much.
    assert of.energy == Energy(1_100.0, 900.0, 10.0, pytest.approx(900.0 * math.log(2)))
    assert feed(of, (40, 1_700.0)).joules == 2_000.0
    assert feed(of, (50, 2_400.0)).joules == 2_400.0


def test_windows_that_meet_within_a_gap_add_up_when_the_counter_delivers_it() -> None:
    ledger, device = Ledger(OPENED), fake_device("gpu")
    ledger.add_devices([device])
    for second, value in ((0, 0.0), (10, 1_000.0), (20, None)):
        ledger.update([Reading(device.id, OPENED + second * S, value)])
    within = ledger.snapshot(OPENED + 20 * S)
    ledger.update([Reading(device.id, OPENED + 30 * S, 2_600.0)])
    start, end = Snapshot(OPENED), ledger.snapshot(OPENED + 30 * S)
    before, after, whole = within - start, end - within, end - start
    assert (before.joules, after.joules, whole.joules) == (2_000.0, 600.0, 2_600.0)
    by_method = [uncertainty.joules_by_method(window) for window in (before, after, whole)]
    assert by_method == [
        {device.method: 1_000.0, methods.EXTRAPOLATED: 1_000.0},
        {device.method: 600.0},
        {device.method: 2_600.0},
    ]
    # What the first one was given too much, the second one has too little.
    sds = [window.by_device[device].extrapolated_sd_j for window in (before, after, whole)]
    assert sds[0] == -sds[1] > 0.0 == sds[2]
    assert uncertainty.sigmas_of(after.by_device, 10.0).systematic > 0.2


def test_a_share_of_a_device_is_confirmed_as_that_share() -> None:
    of = account()
    for second, value in ((0, 0.0), (10, 1_000.0), (20, None), (30, None), (40, 4_400.0)):
        of.update(OPENED + second * S, value, 0.5)
    assert of.energy == Energy(2_200.0, 0.0, 20.0, 0.0)


def test_a_gap_that_a_reset_ends_stays_extrapolated() -> None:
    of = account()
    feed(of, (0, 1e6), (10, 1e6 + 1_000), (20, None), (30, 3.0), (40, 1_003.0), (50, 2_003.0))
    assert amounts(of.energy) == Energy(3_000.0, 2_000.0, 20.0)
    assert of.energy.extrapolated_sd_j > 0.0


def test_a_device_that_never_answers_is_missing_not_zero() -> None:
    assert feed(account(), (10, None), (20, None)) == Energy(0.0, 0.0, 20.0)


def test_power_learnt_late_fills_in_what_went_before() -> None:
    energy = feed(account(), (10, None), (20, 0.0), (30, 700.0))
    assert energy == Energy(700.0, 1_400.0, 20.0)


def test_power_learnt_late_is_spread_over_the_time_before_the_first_reading() -> None:
    of = account()
    feed(of, (2, 100.0), (12, 1_100.0))
    assert amounts(of.at(OPENED + S)) == Energy(0.0, 100.0, 1.0)
    assert amounts(of.at(OPENED + 2 * S)) == Energy(0.0, 200.0, 2.0)


def test_failed_reads_before_any_power_is_known_are_repaid_too() -> None:
    of = account()
    energy = feed(of, (0, 0.0), (10, None), (20, 2_000.0))
    assert (energy.joules, energy.missing_s) == (2_000.0, 10.0)


def test_a_reading_that_is_not_newer_is_left_out() -> None:
    of = account()
    before = feed(of, (0, 0.0), (10, 1_000.0))
    assert feed(of, (10, 2_000.0), (5, 3_000.0)) == before


def test_a_failed_read_that_is_not_newer_takes_nothing_back() -> None:
    assert feed(account(), (10, None), (4, None), (10, None)).missing_s == 10.0


# --- polled power ---------------------------------------------------------------------------------


def test_polled_power_is_integrated_by_trapezoids() -> None:
    of = Account(watts(), OPENED)
    assert feed(of, (0, 100.0), (1, 200.0), (2, 200.0), (2.5, 0.0)) == Energy(400.0, 0.0, 0.0)


def test_a_gap_within_reach_is_bridged_and_a_longer_one_is_missing() -> None:
    of = Account(watts(max_gap_s=5.0), OPENED)
    assert feed(of, (0, 100.0), (5, 300.0)) == Energy(1_000.0, 0.0, 0.0)
    assert feed(of, (11, 100.0)) == Energy(1_000.0, 1_200.0, 6.0)
    assert feed(of, (12, 100.0)) == Energy(1_100.0, 1_200.0, 6.0)


def test_failed_polls_within_reach_are_bridged_by_the_line_between() -> None:
    of = Account(watts(max_gap_s=5.0), OPENED)
    energy = feed(of, (0, 100.0), (1, 100.0), (2, None), (3, None), (4, 300.0))
    assert energy.joules == 700.0
    assert energy.missing_s == 2.0


@pytest.mark.parametrize("absurd", [5_001.0, -1.0, math.nan, math.inf, 2.0**63])
def test_absurd_power_is_missing(absurd: float) -> None:
    of = Account(watts(max_power_w=5_000.0), OPENED)
    assert feed(of, (0, 100.0), (1, 100.0), (2, absurd)) == Energy(100.0, 100.0, 1.0)
    assert feed(of, (3, 100.0)).joules == 300.0


def test_power_of_zero_is_a_measurement() -> None:
    assert feed(Account(watts(), OPENED), (0, 0.0), (1, 0.0)) == Energy(0.0, 0.0, 0.0)


# --- the totals at an instant -----------------------------------------------------------------------


def test_between_readings_the_totals_are_interpolated() -> None:
    of = account()
    feed(of, (0, 0.0), (10, 1_000.0), (20, 1_500.0))
    totals = [of.at(OPENED + second * S).joules for second in (0, 5, 10, 12, 20)]
    assert totals == [0.0, 500.0, 1_000.0, 1_100.0, 1_500.0]


def test_after_the_last_reading_the_totals_are_carried_on_and_graded_so() -> None:
    of = account()
    feed(of, (0, 0.0), (10, 1_000.0))
    assert amounts(of.at(OPENED + 13 * S)) == Energy(1_000.0, 300.0, 3.0)
    assert of.energy == Energy(1_000.0, 0.0, 0.0)


def test_a_snapshot_holds_every_device_in_the_order_they_came() -> None:
    ledger = Ledger(OPENED)
    cpu, gpu = fake_device("cpu"), fake_device("gpu")
    ledger.add_devices([cpu])
    ledger.add_devices([gpu])
    ledger.update([Reading(cpu.id, OPENED, 0.0), Reading(gpu.id, OPENED, 0.0)])
    start = ledger.snapshot(OPENED)
    ledger.update([Reading(gpu.id, OPENED + S, 300.0), Reading(cpu.id, OPENED + S, 100.0)])
    window = ledger.snapshot(OPENED + S) - start
    assert window.by_device == {cpu: Energy(100.0), gpu: Energy(300.0)}
    assert (window.component_j("cpu"), window.component_j("gpu")) == (100.0, 300.0)
    assert (window.joules, window.duration_s, window.power_w) == (400.0, 1.0, 400.0)


def test_a_device_that_came_later_counts_from_nothing() -> None:
    ledger = Ledger(OPENED)
    start = ledger.snapshot(OPENED)
    gpu = fake_device("gpu")
    ledger.add_devices([gpu])
    ledger.update([Reading(gpu.id, OPENED, 0.0), Reading(gpu.id, OPENED + S, 50.0)])
    assert (ledger.snapshot(OPENED + S) - start).by_device == {gpu: Energy(50.0)}


def test_a_device_that_joins_late_completes_the_marks_before_it() -> None:
    ledger = Ledger(OPENED)
    ledger.add_devices([fake_device("cpu")])
    marks = [ledger.mark(OPENED + second * S) for second in (0, 1)]
    gpu = fake_device("gpu")
    ledger.add_devices([gpu])
    for second in (2, 4):
        ledger.update([Reading(gpu.id, OPENED + second * S, 300.0 * second)])
    before = [ledger.completed(mark) for mark in marks]
    end = ledger.snapshot(OPENED + 4 * S)
    assert [(end - one).component_j("gpu") for one in before] == pytest.approx([1200.0, 900.0])
    missing_s = [(end - one).by_device[gpu].missing_s for one in before]
    assert missing_s == pytest.approx([2.0, 1.0])


def test_an_empty_window_has_no_power() -> None:
    snapshot = Ledger(OPENED).snapshot(OPENED)
    assert ((snapshot - snapshot).power_w, (snapshot - snapshot).joules) == (0.0, 0.0)


@pytest.mark.slow
def test_a_million_updates_keep_to_constant_memory() -> None:
    ledger = Ledger(OPENED)
    device = fake_device("gpu")
    ledger.add_devices([device])

    def feed_on(first: int, last: int) -> None:
        for i in range(first, last):
            ledger.update((Reading(device.id, OPENED + i * S, 100.0 * i),))

    feed_on(0, 1_000)
    tracemalloc.start()
    feed_on(1_000, 3_000)
    before, _ = tracemalloc.get_traced_memory()
    feed_on(3_000, 20_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    feed_on(20_000, 1_000_000)
    assert after - before < 1_000
    last = OPENED + 999_999 * S
    assert ledger.snapshot(last).energies == (Energy(99_999_900.0, 0.0, 0.0),)


# --- grams ------------------------------------------------------------------------------------------

KWH = units.JOULES_PER_KWH


def intensity(g_per_kwh: float, kind: str = "live", place: str = "FR") -> Intensity:
    return Intensity(g_per_kwh, place, "test", kind, "lifecycle", 0.05)  # type: ignore[arg-type]


WORLD = intensity(500.0, "world", "world")


def test_until_a_price_comes_the_assumed_one_holds() -> None:
    curve = EmissionsCurve(WORLD, pue=1.5)
    assert curve.grams(2 * KWH) == 1_500.0
    [share] = curve.shares(2 * KWH)
    assert (share.intensity, share.joules, share.grams) == (WORLD, 2 * KWH, 1_500.0)


def test_a_price_holds_for_the_joules_before_and_after_it() -> None:
    curve = EmissionsCurve(WORLD)
    curve.apply(1 * KWH, intensity(100.0))
    curve.apply(3 * KWH, intensity(50.0))
    assert [curve.grams(n * KWH) for n in (0, 0.5, 1, 2, 3, 4)] == [0, 50, 100, 150, 200, 250]


def test_a_late_price_changes_every_window_alike() -> None:
    curve = EmissionsCurve(WORLD)
    assert curve.grams(1 * KWH) == 500.0
    curve.apply(1 * KWH, intensity(100.0))
    assert curve.grams(0.25 * KWH) + (curve.grams(1 * KWH) - curve.grams(0.25 * KWH)) == 100.0


def test_a_price_for_no_new_joules_is_only_assumed() -> None:
    curve = EmissionsCurve(WORLD)
    curve.apply(1 * KWH, intensity(100.0))
    curve.apply(1 * KWH, intensity(50.0))
    assert (curve.grams(1 * KWH), curve.grams(2 * KWH)) == (100.0, 150.0)


def test_shares_tell_kinds_apart_and_add_up() -> None:
    curve = EmissionsCurve(WORLD, pue=1.2)
    curve.apply(1 * KWH, WORLD)
    curve.apply(2 * KWH, intensity(100.0))
    curve.apply(4 * KWH, intensity(40.0))
    shares = curve.shares(5 * KWH)
    assert [share.intensity.kind for share in shares] == ["world", "live"]
    assert [share.joules for share in shares] == [1 * KWH, 4 * KWH]
    assert [share.grams for share in shares] == pytest.approx([600.0, 1.2 * (100 + 2 * 40 + 40)])
    assert sum(share.grams for share in shares) == pytest.approx(curve.grams(5 * KWH))


def test_the_shares_of_a_window_are_those_of_its_own_joules() -> None:
    curve = EmissionsCurve(WORLD, pue=1.2)
    curve.apply(1 * KWH, WORLD)
    curve.apply(3 * KWH, intensity(100.0))
    windows = [(0.0, 0.5), (0.5, 1.0), (0.5, 2.0), (1.0, 3.0), (1.5, 2.5), (2.5, 4.0), (3.0, 5.0)]
    kinds = []
    for begin, end in windows:
        shares = curve.shares(end * KWH, begin * KWH)
        kinds.append([share.intensity.kind for share in shares])
        assert sum(share.joules for share in shares) == pytest.approx((end - begin) * KWH)
        grams = curve.grams(end * KWH) - curve.grams(begin * KWH)
        assert sum(share.grams for share in shares) == pytest.approx(grams)
    assert kinds == [["world"], ["world"], ["world", "live"], *[["live"]] * 4]


def test_the_shares_of_an_earlier_total_are_without_what_came_later() -> None:
    curve = EmissionsCurve(WORLD)
    curve.apply(1 * KWH, WORLD)
    curve.apply(3 * KWH, intensity(100.0))
    world, live = curve.shares(1.5 * KWH)
    assert (world.grams, live.joules, live.grams) == (500.0, 0.5 * KWH, 50.0)


def test_values_that_differ_in_certainty_have_shares_of_their_own() -> None:
    measured, estimated = intensity(100.0), replace(intensity(200.0), sigma_ln=0.12)
    old = replace(estimated, low_carbon_share=0.7)
    curve = EmissionsCurve(WORLD)
    for i, value in enumerate((measured, estimated, measured, old)):
        curve.apply((i + 1) * KWH, value)
    shares = curve.shares(4 * KWH)
    assert [share.intensity for share in shares] == [measured, estimated, old]
    assert [share.grams for share in shares] == [200.0, 200.0, 200.0]


def test_a_run_of_no_energy_has_one_share_of_nothing() -> None:
    [share] = EmissionsCurve(WORLD).shares(0.0)
    assert (share.intensity, share.joules, share.grams) == (WORLD, 0.0, 0.0)


def test_a_hundred_thousand_prices_keep_to_bounded_memory_and_exact_totals() -> None:
    curve = EmissionsCurve(WORLD)
    for i in range(1, 100_001):
        curve.apply(float(i), intensity(100.0 + i % 7))
    # The totals so far are exact; in between, old points are thinned out.
    exact_g = sum(100.0 + i % 7 for i in range(1, 100_001)) / KWH
    assert curve.grams(100_000.0) == pytest.approx(exact_g, rel=1e-9)
    [share] = curve.shares(100_000.0)
    assert (share.joules, share.grams) == (100_000.0, pytest.approx(exact_g, rel=1e-9))
    quarters = [curve.grams(n * 25_000.0) for n in range(5)]
    parts = [later - earlier for earlier, later in pairwise(quarters)]
    assert parts == pytest.approx([exact_g / 4] * 4, rel=0.01)
    lengths = [len(value) for value in vars(curve).values() if isinstance(value, tuple)]
    assert 100 < max(lengths) <= 1_100


# --- prices that come later ----------------------------------------------------------------------


def test_a_later_price_replaces_what_priced_its_span_and_nothing_else() -> None:
    curve = EmissionsCurve(WORLD)
    curve.apply(10.0, intensity(100.0))
    curve.apply(20.0, intensity(200.0))
    curve.apply(30.0, WORLD)
    before = [curve.grams(joules) for joules in (5.0, 30.0)]
    curve.revise([(5.0, 15.0, intensity(1000.0))])
    assert curve.grams(5.0) == pytest.approx(before[0], rel=1e-12)
    added_g = (5 * (1000 - 100) + 5 * (1000 - 200)) / KWH
    assert curve.grams(30.0) == pytest.approx(before[1] + added_g, rel=1e-12)
    assert curve.grams(40.0) - curve.grams(30.0) == pytest.approx(10 * WORLD.g_per_kwh / KWH)
    shares = {share.intensity.kind: share.joules for share in curve.shares(40.0)}
    assert shares == {"live": pytest.approx(20.0), "world": pytest.approx(20.0)}


def test_a_later_price_for_what_is_not_priced_yet_waits() -> None:
    curve = EmissionsCurve(WORLD)
    curve.revise([(0.0, 10.0, intensity(5.0))])
    assert curve.grams(10.0) == pytest.approx(10 * WORLD.g_per_kwh / KWH)


def test_a_price_that_is_confirmed_changes_nothing_even_where_spans_were_joined() -> None:
    curve = EmissionsCurve(WORLD)
    for i in range(1, 3_000):
        curve.apply(float(i), intensity(100.0 + i % 7))
    marks = [float(mark) for mark in range(0, 3_000, 250)]
    before = [curve.grams(mark) for mark in marks]
    curve.revise([(0.0, 1e-9, intensity(100.0))])
    assert [curve.grams(mark) for mark in marks] == pytest.approx(before, rel=1e-9)


# --- counters that stand still --------------------------------------------------------------------


def test_a_counter_that_stands_still_is_missing_from_its_last_move_on() -> None:
    of = account(still_s=1.0)
    energy = feed(of, (0, 0.0), (10, 1_000.0), (10.5, 1_000.0), (12, 1_000.0), (20, 1_000.0))
    assert energy == pytest.approx(Energy(1_000.0, 1_000.0, 10.0))
    silence = of.silence(2)
    assert silence is not None
    assert (silence.is_still, silence.is_known) == (True, True)


def test_what_a_counter_lacks_of_the_span_in_which_it_stopped_is_extrapolated() -> None:
    of = account(still_s=1.0)
    # 100 W; it stops after 15 s of 25, and its last step shows 500 J of 1,500.
    energy = feed(of, (0, 0.0), (10, 1_000.0), (25, 1_500.0), (30, 1_500.0))
    assert energy.joules == pytest.approx(3_000.0)


def test_a_counter_that_moves_again_is_not_counted_twice() -> None:
    of = account(still_s=1.0)
    feed(of, (0, 0.0), (10, 1_000.0), (20, 1_000.0))
    assert feed(of, (30, 3_000.0)).joules == pytest.approx(3_000.0), "it has counted meanwhile"
    assert of.silence(1) is None
    of = account(still_s=1.0)
    feed(of, (0, 0.0), (10, 1_000.0), (20, 1_000.0))
    energy = feed(of, (21, 1_100.0), (31, 2_100.0))
    assert energy == pytest.approx(Energy(2_100.0, 1_000.0, 10.0)), "it has not"


def test_a_counter_that_never_moves_uses_the_power_of_a_fallback() -> None:
    of = account(still_s=1.0)
    for second in range(0, 11, 2):
        of.update(OPENED + (second + 1) * S, 7_000.0, None, 250.0)
    assert amounts(of.energy) == pytest.approx(Energy(0.0, 250.0 * 11, 11.0))


def test_a_counter_that_never_moves_without_a_fallback_is_unknown_until_it_does() -> None:
    of = account(still_s=1.0)
    feed(of, (0, 7.0), (10, 7.0))
    assert of.booked is None
    silence = of.silence(1)
    assert silence is not None
    assert not silence.is_known
    # It has not counted meanwhile: its power is known from the second step on.
    assert feed(of, (20, 8.0), (30, 1_008.0)).joules == pytest.approx(3_000.0)


def test_a_counter_that_may_add_nothing_is_idle_where_it_stands_still() -> None:
    of = account()
    assert feed(of, (0, 0.0), (10, 1_000.0), (100, 1_000.0)) == Energy(1_000.0, 0.0, 0.0)
    assert of.silence(1) is None


def test_steps_of_a_counter_that_is_updated_rarely_are_exact() -> None:
    of = account(still_s=0.5)
    readings = [(i / 100, 25.0 * (i // 10)) for i in range(301)]
    assert feed(of, *readings) == pytest.approx(Energy(750.0, 0.0, 0.0))


# --- standstills that end, and failures within them ---------------------------------------------------


@pytest.mark.parametrize("failed", [(), (20, 30, 40, 50)], ids=["none", "some"])
def test_a_read_that_fails_within_a_standstill_books_nothing_twice(failed: tuple[int, ...]) -> None:
    of = account(still_s=1.0)
    feed(of, *((second, 100.0 * second) for second in range(11)))
    feed(of, *((second, None if second in failed else 1_000.0) for second in range(11, 61)))
    assert amounts(of.energy) == pytest.approx(Energy(1_000.0, 5_000.0, 50.0))


def test_the_value_before_failed_reads_is_no_standstill_of_its_own() -> None:
    of = account(still_s=1.0)
    feed(of, (0, 0.0), (10, 1_000.0), (20, None), (21, 1_000.0))
    assert amounts(of.energy) == pytest.approx(Energy(1_000.0, 1_100.0, 11.0))


def test_a_counter_that_catches_up_is_counted_once_whatever_its_last_power() -> None:
    of = account(still_s=1.0)
    feed(of, *((second, 50.0 * second) for second in range(11)))
    for second in range(11, 611):
        power_w = 50.0 if second <= 550 else 300.0
        of.update(OPENED + units.nanoseconds(second), 500.0, None, power_w)
    true_j = 500.0 + 50.0 * 540 + 300.0 * 61
    feed(of, (611, true_j))
    assert of.energy.joules == pytest.approx(true_j, rel=0.02)


def test_a_counter_that_is_updated_rarely_is_counted() -> None:
    of = account(still_s=1.0)
    for tenth in range(0, 601, 3):
        second = tenth / 10
        feed(of, (second, 300.0 * 2.2 * (second // 2.2)))
    assert of.energy.joules == pytest.approx(300.0 * 60, rel=0.1)


# --- how well extrapolated joules are known --------------------------------------------------------


def relative_sd(of: Account) -> float:
    return of.energy.extrapolated_sd_j / of.energy.extrapolated_j


def lost(power_w: Callable[[int], float], seconds: int = 600, gap_s: int = 60) -> Account:
    """Return the account of a device that is read every second, and then never again."""
    of, joules = account(), 0.0
    for second in range(seconds):
        of.update(OPENED + second * S, joules)
        joules += power_w(second)
    for second in range(seconds, seconds + gap_s):
        of.update(OPENED + second * S, None)
    return of


def test_a_lost_device_has_its_own_scatter_and_not_a_factor_of_two() -> None:
    steady, wave = lost(lambda _: 200.0), lost(lambda second: 100.0 + 200.0 * (second // 45 % 2))
    assert relative_sd(steady) < 0.2
    assert 0.25 < relative_sd(wave) <= math.log(2)


def test_power_that_changes_fast_is_known_well_over_a_long_gap() -> None:
    fast = lost(lambda second: 100.0 + 200.0 * (second % 2))
    assert relative_sd(fast) < 0.2


def test_a_device_that_was_hardly_read_is_known_to_a_factor_of_two_at_best() -> None:
    of = account()
    feed(of, (0, 0.0), (0.1, 20.0), (60, None))
    assert relative_sd(of) == pytest.approx(math.log(2), rel=0.1)


def test_a_start_gap_has_the_scatter_of_what_comes_after_it() -> None:
    steady, wave = account(), account()
    for second in range(20, 620):
        steady.update(OPENED + second * S, 200.0 * second)
        wave.update(OPENED + second * S, 200.0 * second + 100.0 * (second // 20 % 2))
    early_j = feed(account(), (20, 0.0), (20.1, 20.0)).extrapolated_j
    assert steady.energy.extrapolated_j == early_j == 4_000.0
    assert relative_sd(steady) < relative_sd(wave) <= math.log(2)
    assert relative_sd(steady) < 0.2


def test_a_first_power_unlike_the_others_makes_a_start_gap_uncertain() -> None:
    of = account()
    feed(of, (20, 0.0), (20.5, 150.0), *((20.5 + s, 150.0 + 100.0 * s) for s in range(1, 200)))
    assert of.energy.extrapolated_j == pytest.approx(6_000.0)
    assert of.energy.extrapolated_sd_j >= 0.95 * 4_000.0


def test_a_device_that_nobody_asked_for_long_may_have_rested() -> None:
    stopped, lost_reads = (Account(watts(max_gap_s=5.0), OPENED) for _ in range(2))
    steady = [(second, 100.0) for second in range(300)]
    feed(stopped, *steady, (900, 100.0), (901, 100.0))
    feed(lost_reads, *steady, *((second, None) for second in range(300, 900)), (901, 100.0))
    assert amounts(stopped.energy) == pytest.approx(Energy(30_000.0, 60_100.0, 601.0))
    assert relative_sd(stopped) == pytest.approx(math.log(2))
    assert relative_sd(lost_reads) < 0.35


def test_a_longer_gap_is_known_as_well_as_many_short_spans_suggest() -> None:
    # One minute of readings: of spans as long as the gap, there is no difference.
    assert relative_sd(lost(lambda _: 200.0, seconds=60)) < 0.2
    wave = lost(lambda second: 100.0 + 200.0 * (second // 10 % 2), seconds=60)
    assert 0.25 < relative_sd(wave) <= math.log(2)


def test_a_gap_in_which_a_counter_started_at_zero_again_is_known_to_a_factor_of_two() -> None:
    of, survived = account(), account()
    steady = [(second, 100.0 * second) for second in range(300)]
    feed(of, *steady, (400, 50.0), (410, 1_050.0))
    feed(survived, *steady, (400, None), (410, None))
    assert of.energy.extrapolated_j > 9_000.0
    assert relative_sd(of) == pytest.approx(math.log(2))
    assert relative_sd(survived) < 0.35


def test_a_counter_that_fell_may_have_been_reset_until_the_next_value_decides() -> None:
    fell, recovered = (account(max_power_w=1_000.0) for _ in range(2))
    steady = [(second, 100.0 * second) for second in range(300)]
    feed(fell, *steady, (400, 50.0))
    assert relative_sd(fell) == pytest.approx(math.log(2))
    assert feed(recovered, *steady, (400, 50.0), (410, 41_000.0)).measured_j == 41_000.0
    assert recovered.energy.extrapolated_sd_j == 0.0


def test_the_power_of_a_fallback_is_known_to_a_factor_of_two() -> None:
    of = account(still_s=1.0)
    for second in range(0, 100, 2):
        of.update(OPENED + (second + 1) * S, 7_000.0, None, 250.0)
    assert relative_sd(of) == pytest.approx(math.log(2))


def test_no_energy_is_known_without_a_spread() -> None:
    of = account()
    feed(of, (1, 0.0), (2, 0.0), (3, None), (4, None))
    assert of.energy == Energy(0.0, 0.0, 3.0, 0.0)
    assert uncertainty.sigmas_of({of.device: of.energy}, 0.0) == (0.0, 0.0)


# --- readings made before the opening -------------------------------------------------------------


def test_a_reading_before_the_opening_leaves_nothing_to_extrapolate() -> None:
    # 50 W before the opening and in its first second, seen 1 s late: nothing is missing.
    assert feed(account(), (-9, 0.0), (1, 500.0), (11, 2_500.0)) == Energy(2_050.0, 0.0, 0.0)


def test_the_latest_reading_before_the_opening_counts() -> None:
    # The parked minutes at 10 W do not matter, for it was read again right before.
    energy = feed(account(), (-600, 0.0), (-1, 5_990.0), (-2, 5_980.0), (1, 6_590.0))
    assert energy == Energy(300.0, 0.0, 0.0)


def test_a_failed_reading_before_the_opening_is_none() -> None:
    assert feed(account(), (-5, 100.0), (-1, None), (5, 1_100.0)) == Energy(500.0, 0.0, 0.0)
    assert feed(account(), (-1, None), (2, 100.0), (12, 1_100.0)) == Energy(1_000.0, 200.0, 2.0)


def test_a_first_reading_that_fails_is_made_up_for_by_the_next() -> None:
    energy = feed(account(), (-10, 0.0), (5, None), (10, 2_000.0))
    assert (energy.measured_j, energy.extrapolated_j) == (1_000.0, 0.0)


def test_a_counter_that_was_reset_across_the_opening_counts_since() -> None:
    # From 50 J to 2 J: the first reading is missing, at the power of the next.
    energy = feed(account(), (-5, 50.0), (5, 2.0), (10, 502.0))
    assert energy == Energy(500.0, 500.0, 5.0)


def test_polled_power_before_the_opening_is_the_first_of_two() -> None:
    of = Account(watts(), OPENED)
    assert feed(of, (-0.5, 100.0), (0.5, 200.0), (1.0, 200.0)) == Energy(175.0, 0.0, 0.0)


def test_polled_power_from_long_before_the_opening_spoils_nothing() -> None:
    of = Account(watts(), OPENED)
    energy = feed(of, (-300, 100.0), (0.5, 200.0), (1.0, 200.0))
    assert energy.measured_j == pytest.approx(100.0)
    assert energy.missing_s == pytest.approx(0.5)

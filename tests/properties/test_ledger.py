"""The ledger, for any history of readings: it adds up, counts once, never falls, never invents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_core import uncertainty, units
from carbon_core.emissions_curve import EmissionsCurve
from carbon_core.ledger import Account, Ledger
from carbon_core.records import Energy, Intensity, Reading, Snapshot
from carbon_core.testing import fake_device

S = units.NANOSECONDS_PER_SECOND
OPENED = 1_000 * S
MAX_W = 1_000.0
WRAP_J = 262_143.328850

# A step of a run: seconds until the next reading, and the mean power meanwhile.
steps = st.lists(
    st.tuples(st.floats(0.05, 30.0), st.floats(0.0, 0.9 * MAX_W)), min_size=1, max_size=12
)
absurdities = st.sampled_from([None, 2.0**63, -1.0, math.nan, math.inf])


def history(run: Sequence[tuple[float, float]]) -> list[tuple[int, float]]:
    """Return the true (time, cumulative joules) at each reading of a run, the opening included."""
    times = list(accumulate((units.nanoseconds(step_s) for step_s, _ in run), initial=OPENED))
    joules = accumulate(
        (power_w * units.seconds(b - a) for (a, b), (_, power_w) in zip(pairwise(times), run)),
        initial=0.0,
    )
    return list(zip(times, joules))


def counter(**more: object) -> Account:
    return Account(fake_device("cpu", max_power_w=MAX_W, **more), OPENED)


def polled(**more: object) -> Account:
    return Account(fake_device("gpu", kind="power", max_power_w=MAX_W, **more), OPENED)


@given(steps, st.floats(0.0, 1e9), st.lists(st.floats(0.0, 1.0), max_size=6))
def test_any_split_into_windows_adds_up_to_the_truth(
    run: list[tuple[float, float]], first_j: float, cuts: list[float]
) -> None:
    ledger, device = Ledger(OPENED), fake_device("cpu", max_power_w=MAX_W)
    ledger.add_devices([device])
    truth = history(run)
    end_ns = truth[-1][0]
    cut_at = sorted({OPENED + round(cut * (end_ns - OPENED)) for cut in cuts} - {OPENED, end_ns})
    snapshots, waiting = [ledger.snapshot(OPENED)], cut_at
    for t_ns, joules in truth:
        ledger.update([Reading(device.id, t_ns, first_j + joules)])
        snapshots += [ledger.snapshot(cut) for cut in waiting if cut <= t_ns]
        waiting = [cut for cut in waiting if cut > t_ns]
    snapshots.append(ledger.snapshot(end_ns))
    windows = [later - earlier for earlier, later in pairwise(snapshots)]
    assert sum(window.joules for window in windows) == pytest.approx(truth[-1][1], abs=1e-3)
    assert sum(window.duration_s for window in windows) == pytest.approx(
        units.seconds(end_ns - OPENED)
    )
    assert min(window.joules for window in windows) >= -1e-6
    assert snapshots[-1].energies[0].missing_s == 0.0


@given(steps, st.floats(0.0, WRAP_J))
def test_a_wrap_anywhere_counts_once(run: list[tuple[float, float]], first_j: float) -> None:
    of, truth = counter(wrap_j=WRAP_J), history(run)
    for t_ns, joules in truth:
        of.update(t_ns, (first_j + joules) % WRAP_J)
    assert of.energy.measured_j == pytest.approx(truth[-1][1], abs=1e-3)
    assert (of.energy.extrapolated_j, of.energy.missing_s) == (0.0, 0.0)


@given(
    st.floats(1.0, 0.9 * MAX_W),
    st.floats(0.0, WRAP_J),
    st.lists(st.floats(0.05, 20_000.0), min_size=1, max_size=6),
)
def test_steady_power_over_any_gap_is_right_however_often_the_counter_went_round(
    power_w: float, first_j: float, gaps_s: list[float]
) -> None:
    of, truth = counter(wrap_j=WRAP_J), history([(1.0, power_w), *((s, power_w) for s in gaps_s)])
    for t_ns, joules in truth:
        of.update(t_ns, (first_j + joules) % WRAP_J)
    assert of.energy.measured_j == pytest.approx(truth[-1][1], abs=1e-2)
    assert of.energy.missing_s == 0.0


@given(st.floats(0.0, 0.9 * MAX_W), st.floats(0.0, 0.9 * MAX_W), st.floats(0.0, WRAP_J))
def test_a_load_that_changes_within_less_than_a_round_is_exact(
    before_w: float, after_w: float, first_j: float
) -> None:
    gap_s = 0.95 * WRAP_J / (0.9 * MAX_W)
    of, truth = counter(wrap_j=WRAP_J), history([(10.0, before_w), (gap_s, after_w)])
    for t_ns, joules in truth:
        of.update(t_ns, (first_j + joules) % WRAP_J)
    assert of.energy.measured_j == pytest.approx(truth[-1][1], abs=1e-2)


@given(steps, st.data())
def test_a_reset_anywhere_is_missing_for_its_step_and_no_longer(
    run: list[tuple[float, float]], data: st.DataObject
) -> None:
    truth = history(run)
    at = data.draw(st.integers(1, len(truth) - 1))
    of = counter()
    # The counter begins anew just after the last reading before `at`, without what it drew since.
    before_j = 1e5 + truth[at - 1][1]
    for i, (t_ns, joules) in enumerate(truth):
        of.update(t_ns, 1e5 + joules if i < at else 1e5 + joules - before_j)
    step_s = units.seconds(truth[at][0] - truth[at - 1][0])
    known_j = truth[-1][1] - (truth[at][1] - truth[at - 1][1])
    assert of.energy.missing_s == pytest.approx(step_s)
    assert of.energy.measured_j == pytest.approx(known_j, abs=1e-3)
    assert 0.0 <= of.energy.extrapolated_j <= MAX_W * step_s


@given(steps, st.data())
def test_a_counter_that_survives_bad_reads_repays_them_exactly(
    run: list[tuple[float, float]], data: st.DataObject
) -> None:
    truth = history(run)
    bad = data.draw(st.sets(st.integers(1, len(truth) - 1)))
    of = counter()
    for i, (t_ns, joules) in enumerate(truth):
        of.update(t_ns, data.draw(absurdities) if i in bad else joules)
    # Long enough at full power to repay whatever was extrapolated too high.
    extra_s = 100.0 + units.seconds(truth[-1][0] - OPENED)
    of.update(truth[-1][0] + units.nanoseconds(extra_s), truth[-1][1] + MAX_W * extra_s * 0.999)
    missing_s = sum(units.seconds(truth[i][0] - truth[i - 1][0]) for i in bad)
    assert of.energy.joules == pytest.approx(truth[-1][1] + MAX_W * extra_s * 0.999, rel=1e-9)
    assert of.energy.missing_s == pytest.approx(missing_s)


@given(
    st.lists(st.tuples(st.floats(0.05, 4.0), st.booleans()), min_size=4, max_size=12),
    st.integers(1, 3),
    st.floats(0.0, 0.9 * MAX_W),
    st.lists(st.floats(0.0, 1.0), max_size=3),
)
def test_a_device_that_is_read_better_from_some_time_on_is_counted_once(
    run: list[tuple[float, bool]], promoted_at: int, power_w: float, shares: list[float]
) -> None:
    """Reads may fail before and after: the power is constant, so that any gap is known."""
    first, better = (
        fake_device("gpu", max_power_w=MAX_W, kind=kind) for kind in ("power", "counter")
    )
    ledger, t_ns = Ledger(OPENED), OPENED
    ledger.add_devices([first])
    ledger.update([Reading(first.id, OPENED, power_w)])
    snapshots = [ledger.snapshot(OPENED)]
    for i, (step_s, fails) in enumerate(run):
        since_ns, t_ns = t_ns, t_ns + units.nanoseconds(step_s)
        counted = Reading(better.id, t_ns, 5e5 + power_w * units.seconds(t_ns - OPENED))
        polled = Reading(first.id, t_ns, power_w)
        reading = polled if i <= promoted_at else counted
        ledger.update([reading._replace(value=None) if fails else reading])
        if i == promoted_at:
            early_j = 5e5 + power_w * units.seconds(since_ns - OPENED)
            ledger.promote(better)
            ledger.update([Reading(better.id, since_ns, early_j)])
        asked = sorted(since_ns + round(share * (t_ns - since_ns)) for share in shares)
        snapshots += [ledger.snapshot(at_ns) for at_ns in (*asked, t_ns)]
    windows = [later - earlier for earlier, later in pairwise(snapshots)]
    whole = snapshots[-1] - snapshots[0]
    assert whole.joules == pytest.approx(power_w * whole.duration_s, rel=1e-6, abs=1e-3)
    assert sum(window.joules for window in windows) == pytest.approx(whole.joules, abs=1e-6)
    assert sum(energy.joules for energy in whole.by_device.values()) == pytest.approx(whole.joules)
    for window in windows:
        assert window.joules >= -1e-9 * max(1.0, whole.joules)
        assert window.above_idle_j({first.id: power_w}) == pytest.approx(0.0, abs=1e-2)


@given(steps, st.lists(st.sampled_from([None, -1.0, math.nan, math.inf]), min_size=1, max_size=5))
def test_what_cannot_be_read_is_seconds_missing_and_never_measured(
    run: list[tuple[float, float]], values: list[float | None]
) -> None:
    for of in (counter(), polled()):
        t_ns = OPENED
        for (step_s, _), value in zip(run, values):
            t_ns += units.nanoseconds(step_s)
            of.update(t_ns, value)
        assert of.energy.measured_j == 0.0
        assert of.energy.missing_s == pytest.approx(units.seconds(t_ns - OPENED))
        assert of.energy.missing_s > 0


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.floats(0.05, 30.0),
            st.floats(0.0, 0.9 * MAX_W),
            st.sampled_from(["read", "read", "fail", "reset", "still"]),
        ),
        min_size=1,
        max_size=14,
    ),
    st.sampled_from(
        [counter, polled, lambda: counter(wrap_j=WRAP_J), lambda: counter(still_s=1.0)]
    ),
    st.lists(st.floats(0.0, 1.0), max_size=3),
    st.floats(0.0, 30.0),
)
def test_windows_add_up_while_what_was_extrapolated_becomes_measured(
    run: list[tuple[float, float, str]],
    make: Callable[[], Account],
    shares: list[float],
    late_s: float,
) -> None:
    """Snapshots are handed out within gaps, before the counter delivers, is reset or never answers."""
    of, t_ns, joules, offset_j = make(), OPENED, 0.0, 1e5
    device = of.device
    t_ns += units.nanoseconds(late_s)
    snapshots = [Snapshot(OPENED, (device,), (of.at(OPENED),))]
    for step_s, power_w, event in run:
        since_ns, t_ns = t_ns, t_ns + units.nanoseconds(step_s)
        joules += power_w * step_s if event != "still" else 0.0
        offset_j = -joules if event == "reset" else offset_j
        value = power_w if device.kind == "power" else (offset_j + joules) % (device.wrap_j or 1e9)
        of.update(t_ns, None if event == "fail" else value)
        asked = sorted(since_ns + round(share * (t_ns - since_ns)) for share in shares)
        snapshots += [Snapshot(at_ns, (device,), (of.at(at_ns),)) for at_ns in (*asked, t_ns)]
    windows = [later - earlier for earlier, later in pairwise(snapshots)]
    whole = snapshots[-1] - snapshots[0]
    slack_j = 1e-9 * max(1.0, whole.joules)
    assert sum(window.joules for window in windows) == pytest.approx(whole.joules)
    energies = [window.by_device[device] for window in windows]
    total = Energy(*map(math.fsum, zip(*energies)))
    assert total == pytest.approx(whole.by_device[device], abs=1e-6)
    for window in (*windows, whole):
        assert window.joules >= -slack_j
        by_method = uncertainty.joules_by_method(window)
        assert min(by_method.values()) >= -slack_j
        assert math.fsum(by_method.values()) == pytest.approx(window.joules, abs=1e-6)
        sigmas = uncertainty.sigmas_of(window.by_device, window.duration_s)
        assert 0.0 <= sigmas.systematic <= math.hypot(1.0, device.method.sigma_ln)
    assert min(uncertainty.joules_by_method(whole).values()) >= -slack_j


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 40.0),
            st.none() | st.floats(0.0, 2 * MAX_W) | st.floats() | st.floats(0.0, 1e9),
        ),
        max_size=30,
    ),
    st.sampled_from([counter, polled, lambda: counter(wrap_j=WRAP_J)]),
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8),
)
def test_no_total_ever_falls_whatever_is_read(
    readings: list[tuple[float, float | None]],
    make: Callable[[], Account],
    shares: list[float],
) -> None:
    of, t_ns, before = make(), OPENED, Energy()
    for step_s, value in readings:
        since_ns, t_ns = t_ns, t_ns + units.nanoseconds(step_s)
        of.update(t_ns, value)
        asked = sorted(since_ns + round(share * (t_ns - since_ns)) for share in shares)
        for energy in (*map(of.at, asked), of.energy):
            assert all(math.isfinite(figure) for figure in energy)
            grows = [(e.joules, e.measured_j, e.missing_s) for e in (before, energy)]
            assert all(b - a >= -1e-9 * max(1.0, a) for a, b in zip(*grows))
            assert energy.extrapolated_j >= -1e-9 * max(1.0, energy.joules)
            assert 0.0 <= energy.extrapolated_sd_j <= 0.6932 * energy.extrapolated_j + 1e-6
            before = energy
    assert of.energy.missing_s <= units.seconds(t_ns - OPENED) + 1e-6
    spent_w = of.energy.joules / max(1e-9, units.seconds(t_ns - OPENED))
    assert spent_w <= MAX_W * (1 + 1e-9)


@given(steps, st.floats(0.0, 0.9 * MAX_W), st.lists(st.floats(0.0, 1.0), max_size=4))
def test_trapezoids_are_exact_for_power_that_changes_in_straight_lines(
    run: list[tuple[float, float]], first_w: float, cuts: list[float]
) -> None:
    of = polled(max_gap_s=31.0)
    of.update(OPENED, first_w)
    t_ns, watts, joules = OPENED, first_w, 0.0
    for step_s, power_w in run:
        # Any further readings on the line change nothing.
        for cut in sorted({*cuts, 1.0}):
            at_ns = t_ns + round(cut * units.nanoseconds(step_s))
            of.update(at_ns, watts + (power_w - watts) * cut)
        t_ns += units.nanoseconds(step_s)
        joules += (watts + power_w) / 2 * step_s
        watts = power_w
    assert of.energy.measured_j == pytest.approx(joules, rel=1e-6, abs=1e-5)
    assert (of.energy.extrapolated_j, of.energy.missing_s) == (0.0, 0.0)


@given(steps, st.floats(0.1, 10.0))
def test_power_over_a_gap_too_long_is_missing(
    run: list[tuple[float, float]], max_gap_s: float
) -> None:
    of = polled(max_gap_s=max_gap_s)
    of.update(OPENED, run[0][1])
    t_ns, missing_s, last_w, joules = OPENED, 0.0, run[0][1], 0.0
    for step_s, power_w in run:
        exact_s = units.seconds(units.nanoseconds(step_s))
        t_ns += units.nanoseconds(step_s)
        of.update(t_ns, power_w)
        missing_s += exact_s if exact_s > max_gap_s else 0.0
        joules += (last_w + power_w) / 2 * exact_s
        last_w = power_w
    assert of.energy.missing_s == pytest.approx(missing_s)
    assert of.energy.joules == pytest.approx(joules)  # a straight line, for want of better


@given(steps, st.floats(0.0, 1.0))
def test_between_two_readings_the_total_lies_on_their_line(
    run: list[tuple[float, float]], share: float
) -> None:
    of, truth = counter(), history(run)
    for t_ns, joules in truth:
        of.update(t_ns, joules)
    (t0, j0), (t1, j1) = truth[-2:]
    t_ns = t0 + round(share * (t1 - t0))
    line_j = j0 + (j1 - j0) * (t_ns - t0) / (t1 - t0)
    assert of.at(t_ns).joules == pytest.approx(line_j, abs=1e-3)


# --- grams ------------------------------------------------------------------------------------------

prices = st.lists(
    st.tuples(st.floats(0.0, 1e7), st.floats(0.0, 1_500.0), st.sampled_from("abc")), max_size=20
)


def curve_of(changes: list[tuple[float, float, str]], pue: float) -> tuple[EmissionsCurve, float]:
    curve = EmissionsCurve(Intensity(475.0, "world", "test", "world", "lifecycle", 0.7), pue=pue)
    total_j = 0.0
    for more_j, g_per_kwh, place in changes:
        total_j += more_j
        curve.apply(total_j, Intensity(g_per_kwh, place, "test", "live", "lifecycle", 0.05))
    return curve, total_j


@given(prices, st.floats(0.0, 1e7), st.lists(st.floats(0.0, 1.0), max_size=8), st.floats(1.0, 2.0))
def test_grams_of_adjacent_windows_add_up_and_never_fall(
    changes: list[tuple[float, float, str]], open_j: float, cuts: list[float], pue: float
) -> None:
    curve, priced_j = curve_of(changes, pue)
    total_j = priced_j + open_j
    points = [0.0, *sorted(cut * total_j for cut in cuts), total_j]
    parts = [curve.grams(later) - curve.grams(earlier) for earlier, later in pairwise(points)]
    assert math.fsum(parts) == pytest.approx(curve.grams(total_j), abs=1e-6)
    assert min(parts) >= -1e-6


@given(prices, st.floats(0.0, 1e7), st.floats(1.0, 2.0))
def test_shares_sum_to_the_whole(
    changes: list[tuple[float, float, str]], open_j: float, pue: float
) -> None:
    curve, priced_j = curve_of(changes, pue)
    shares = curve.shares(priced_j + open_j)
    assert sum(share.joules for share in shares) == pytest.approx(priced_j + open_j)
    assert sum(share.grams for share in shares) == pytest.approx(
        curve.grams(priced_j + open_j), abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1_500, 4_000), st.integers(0, 2**32), st.floats(0.0, 1.0))
def test_many_prices_are_thinned_out_and_still_add_up(count: int, seed: int, cut: float) -> None:
    random = Random(seed)
    changes = [(random.uniform(1.0, 1e4), random.uniform(20.0, 900.0), "a") for _ in range(count)]
    curve, total_j = curve_of(changes, 1.0)
    exact_g = math.fsum(units.kwh(span_j) * g_per_kwh for span_j, g_per_kwh, _ in changes)
    assert curve.grams(total_j) == pytest.approx(exact_g)
    assert 0.0 <= curve.grams(cut * total_j) <= exact_g * (1 + 1e-9)
    assert math.fsum(share.grams for share in curve.shares(total_j)) == pytest.approx(exact_g)

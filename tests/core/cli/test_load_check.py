"""The checks of ``carbon-callbacks doctor --load`` on series of readings whose energy is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from carbon_callbacks.cli.load_check import Spans, check_device, missing_windows, window_checks
from carbon_callbacks.cli.load_series import Curve, Series, Span, longest_still_s, update_of
from carbon_core import methods, units
from carbon_core.testing import fake_device

IDLE_W, LOAD_W = 60.0, 300.0
LOADED_FROM_S = 4.0


def ns(seconds: float) -> int:
    return units.nanoseconds(1000.0 + seconds)


def span(start_s: float, end_s: float) -> Span:
    return Span(ns(start_s), ns(end_s))


SPANS = Spans(span(0, 1), span(1, 3.9), span(5, 20))


def series(
    value: Callable[[float], float],
    end_s: float = 20.0,
    every_s: float = 0.02,
    start_s: float = 0.0,
) -> Series:
    found = Series()
    for number in range(round((end_s - start_s) / every_s) + 1):
        t_s = start_s + number * every_s
        found.add(ns(t_s), value(t_s))
    return found


def watts(t_s: float) -> float:
    return LOAD_W if t_s >= LOADED_FROM_S else IDLE_W


def joules(t_s: float) -> float:
    return IDLE_W * min(t_s, LOADED_FROM_S) + LOAD_W * max(0.0, t_s - LOADED_FROM_S)


def updated_every(period_s: float, value: Callable[[float], float] = joules):
    """Return a counter that shows the value of its last update."""
    return lambda t_s: value((t_s + 1e-9) // period_s * period_s)


GPU = fake_device("gpu", still_s=0.5)


def test_a_counter_that_agrees_with_its_power_has_no_problem() -> None:
    check = check_device(GPU, series(updated_every(0.1)), series(watts), SPANS)
    assert check.problems == []
    assert check.only_rises is True
    assert check.idle_w == pytest.approx(IDLE_W)
    assert check.load_w == pytest.approx(LOAD_W)
    assert check.update is not None
    assert check.update.seconds == pytest.approx(0.1)
    assert not check.update.is_limit
    assert check.counter_vs_power_pct == {"idle": pytest.approx(0), "load": pytest.approx(0)}
    assert [one.seconds for one in check.windows] == [0.1, 0.5, 1.0, 5.0]


def test_a_counter_that_stands_still_is_a_problem() -> None:
    check = check_device(GPU, series(lambda t_s: joules(min(t_s, 6.0))), None, SPANS)
    assert check.problems == ["its counter stands still for 14.0 s under load"]


def test_a_counter_that_falls_is_a_problem_and_its_energy_stays_known() -> None:
    check = check_device(
        GPU, series(lambda t_s: joules(t_s) - (joules(10.0) if t_s >= 10.0 else 0.0)), None, SPANS
    )
    assert check.problems == ["its counter falls or jumps: 1 times"]
    assert check.load_w == pytest.approx(LOAD_W, rel=0.01)


def test_a_counter_that_jumps_by_more_than_its_device_can_consume_is_a_problem() -> None:
    jump = series(lambda t_s: joules(t_s) + (1e6 if t_s >= 10.0 else 0.0))
    assert check_device(GPU, jump, None, SPANS).only_rises is False


def test_a_counter_that_wraps_only_rises() -> None:
    cpu = fake_device("cpu", wrap_j=1000.0, still_s=1.0)
    check = check_device(cpu, series(lambda t_s: joules(t_s) % 1000.0), None, SPANS)
    assert (check.problems, check.only_rises) == ([], True)
    assert check.load_w == pytest.approx(LOAD_W)


@pytest.mark.parametrize(
    ("factor", "is_wrong"), [(1.08, False), (0.93, False), (1.12, True), (0.5, True)]
)
def test_a_counter_may_differ_from_the_power_by_a_tenth(factor: float, is_wrong: bool) -> None:
    check = check_device(GPU, series(lambda t_s: factor * joules(t_s)), series(watts), SPANS)
    assert check.counter_vs_power_pct["load"] == pytest.approx(100 * (factor - 1), abs=0.01)
    assert any(text.startswith("load: its counter gives") for text in check.problems) is is_wrong


def test_a_counter_may_differ_from_a_small_power_by_some_watts() -> None:
    quiet = series(lambda t_s: 8.0 * t_s)
    check = check_device(GPU, quiet, series(lambda t_s: 4.0), Spans(span(0, 1), span(1, 4)))
    assert (check.problems, check.counter_vs_power_pct) == ([], {"idle": pytest.approx(100.0)})


def test_what_cannot_be_checked_is_listed_with_the_reason() -> None:
    power = fake_device("gpu", kind="power", method=methods.NVML_POWER)
    model = fake_device("cpu", method=methods.CPU_LOAD_TDP)
    assert check_device(power, series(watts), None, SPANS).not_checked == [
        "counter: the device has none, its power is read and integrated"
    ]
    assert check_device(model, series(joules), None, SPANS).not_checked == [
        "update period, counter, windows: the device is estimated by a model"
    ]
    assert check_device(GPU, series(joules), None, SPANS).not_checked == [
        "counter against power: no second reading of its power"
    ]


def test_a_load_that_raises_no_power_is_reported_and_compared_with_no_pause() -> None:
    constant = series(lambda t_s: 250.0 * t_s)
    spans = Spans(span(0, 1), span(1, 3.9), span(5, 15), [span(16, 16.5)])
    check = check_device(GPU, constant, None, spans)
    (kernel,) = check.kernels
    assert (check.problems, kernel.wide_pct) == ([], None)
    assert kernel.deviation_pct == pytest.approx(0.0, abs=1e-6)
    assert "raised the power from 250 W to 250 W only" in check.not_checked[-1]


def test_polled_power_is_integrated() -> None:
    power = fake_device("gpu", kind="power", method=methods.NVML_POWER)
    check = check_device(power, series(watts), None, SPANS)
    assert (check.idle_w, check.load_w) == (pytest.approx(IDLE_W), pytest.approx(LOAD_W))
    assert max(one.worst_pct for one in check.windows) == pytest.approx(0, abs=1e-6)


def test_a_device_without_a_reading_is_a_problem() -> None:
    failed = Series()
    failed.add(ns(0), None)
    assert check_device(GPU, failed, None, SPANS).problems == ["none of 1 readings succeeded"]
    some = series(joules)
    some.add(ns(21), None)
    assert check_device(GPU, some, None, SPANS).problems == ["1 of its readings failed"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_readings_are_no_error(count: int) -> None:
    few = series(joules, end_s=(count - 1) * 6.0, every_s=6.0)
    assert len(few.t_ns) == count
    check = check_device(GPU, few, few, SPANS)
    assert check.update is None
    assert not {0.1, 0.5, 1.0} & {one.seconds for one in check.windows}


def test_short_windows_of_a_slow_counter_deviate_more_than_long_ones() -> None:
    curve = Curve(GPU, series(updated_every(0.1)))
    worst = {one.seconds: one.worst_pct for one in window_checks(curve, span(5, 20))}
    assert worst[0.1] > worst[1.0] > worst[5.0]
    assert worst[0.1] > 15.0
    assert worst[5.0] < 4.0


def test_a_window_needs_twice_its_length() -> None:
    assert missing_windows(span(0, 3)) == [5.0]
    assert missing_windows(None) == [0.1, 0.5, 1.0, 5.0]
    curve = Curve(GPU, series(joules))
    assert max(one.worst_pct for one in window_checks(curve, span(5, 20))) < 1e-6
    assert [one.seconds for one in window_checks(curve, span(5, 8))] == [0.1, 0.5, 1.0]


def test_a_value_that_changes_at_every_reading_is_updated_at_least_as_often() -> None:
    update = update_of(series(joules, every_s=0.01, end_s=1.0))
    assert update is not None
    assert (update.seconds, update.is_limit) == (pytest.approx(0.01), True)
    assert update_of(series(lambda t_s: 1.0)) is None


def test_a_gap_between_readings_is_no_standstill() -> None:
    gap = series(joules, end_s=1.0)
    gap.add(ns(9.0), joules(9.0))
    assert longest_still_s(gap) == 0.0
    assert longest_still_s(Series()) is None


def test_energy_that_a_slow_counter_shows_after_the_kernels_is_within_the_wide_window() -> None:
    def bursts_j(t_s: float) -> float:
        return (
            joules(min(t_s, 20.0))
            + IDLE_W * max(0.0, t_s - 20.0)
            + 240.0 * min(0.5, max(0.0, t_s - 22.0))
        )

    readings = series(updated_every(0.1, bursts_j), end_s=25.0)
    burst = span(22.0, 22.5)
    check = check_device(GPU, readings, None, Spans(span(0, 1), span(1, 4), span(5, 20), [burst]))
    (kernel,) = check.kernels
    assert kernel.seconds == 0.5
    assert kernel.expected_j == pytest.approx(150.0)
    assert kernel.energy_j == pytest.approx(150.0, rel=0.2)
    assert kernel.wide_pct == pytest.approx(0.0, abs=3.0)

"""The instant of a value, also where a thread or a process takes its turn between clock and call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.testing import FakeClock

US, MS = 1e-6, 1e-3


class Driver:
    """A counter of 300 W that is read within 10 µs, unless a test holds the thread up."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls = 0
        self.begun_ns = clock.monotonic_ns()

    def joules(self, before_s: float = 0.0, after_s: float = 0.0) -> float:
        """Read the counter, held up for so many seconds before or after it."""
        self.calls += 1
        self.clock.advance(before_s + 5 * US)
        value = self.true_j(self.clock.monotonic_ns())
        self.clock.advance(after_s + 5 * US)
        return value

    def true_j(self, t_ns: int) -> float:
        """Return the joules at an instant."""
        return 300.0 * (t_ns - self.begun_ns) / 1e9


@pytest.fixture
def driver() -> Driver:
    """A driver that was read once."""
    return Driver(FakeClock())


def held_up(driver: Driver, *delays: tuple[float, float]) -> Callable[[], float]:
    """Return a read that is held up at each call: seconds before and after its value."""
    left = list(delays)
    return lambda: driver.joules(*(left.pop(0) if left else (0.0, 0.0)))


def error_j(driver: Driver, timer: ReadTimer, call: Callable[[], float]) -> float:
    t_ns, value = timer.read(call)
    return abs(value - driver.true_j(t_ns))


def test_the_instant_is_the_middle_of_the_call(driver: Driver) -> None:
    timer = ReadTimer(driver.clock)
    assert error_j(driver, timer, driver.joules) == pytest.approx(0.0, abs=1e-9)
    assert driver.calls == 1


@pytest.mark.parametrize("delay", [(20 * MS, 0.0), (0.0, 20 * MS), (7 * MS, 13 * MS)])
def test_a_disturbed_call_is_made_again(driver: Driver, delay: tuple[float, float]) -> None:
    timer = ReadTimer(driver.clock)
    timer.read(driver.joules)
    assert error_j(driver, timer, held_up(driver, delay)) == pytest.approx(0.0, abs=1e-6)
    assert driver.calls == 3


def test_a_lock_that_every_call_loses_costs_no_accuracy_and_few_calls(driver: Driver) -> None:
    timer = ReadTimer(driver.clock)
    timer.read(driver.joules)
    lost = (0.0, 5 * MS)
    for _ in range(10):
        assert error_j(driver, timer, held_up(driver, lost, lost)) < 0.01
    assert driver.calls <= 1 + 15


def test_a_driver_that_is_always_slow_is_read_once(driver: Driver) -> None:
    timer = ReadTimer(driver.clock)
    for _ in range(5):
        slow = held_up(driver, (10 * MS, 10 * MS))
        assert error_j(driver, timer, slow) == pytest.approx(0.0, abs=1e-6)
    assert driver.calls == 5


def test_a_driver_that_seems_to_hang_is_not_called_again(driver: Driver) -> None:
    timer = ReadTimer(driver.clock)
    timer.read(driver.joules)
    timer.read(held_up(driver, (3.0, 0.0)))
    assert driver.calls == 2

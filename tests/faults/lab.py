"""A tracker made of fakes at the edge and the real thing between: for faults without a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from carbon_core import Tracker
from carbon_core.hardware.base import Detection, Meter
from carbon_core.messages import Messages
from carbon_core.records import Intensity
from carbon_core.report import RunFacts
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.tracker.parts import Parts

PER_KWH = Intensity(1000.0, "somewhere", "a test", "user", None, 0.0)
JOULES_PER_KWH = 3_600_000.0


class LabTracker(Tracker):
    """Measures what it is given.

    On a clock that a test advances, its start waits for the first readings, which come in real time.

    Args:
        clock: Source of time.
        detect: Gives the meters.
        **parts: Other parts of every run.
    """

    def __init__(self, clock: Any, detect: Callable[[], Sequence[Meter]], **parts: Any) -> None:
        super().__init__()
        self.clock = clock
        self.messages = Messages(level=100)
        self._detect = detect
        self._parts = parts

    def make_parts(self, run_id: str) -> Parts:
        """Return what the next run is made of."""
        # The parts must not hold the tracker: a tracker that is dropped has to be collected.
        detect = self._detect
        facts = RunFacts(run_id, "lab", self.clock.now().isoformat(), "0", "3", "Linux")
        return Parts(
            **{
                "clock": self.clock,
                "facts": facts,
                "detect": lambda: Detection(tuple(detect())),
                "assumed": PER_KWH,
                "messages": self.messages,
                **({"start_patience_s": 10.0} if isinstance(self.clock, FakeClock) else {}),
                **self._parts,
            }
        )


def steady(clock: Any, power_w: float = 100.0, component: Any = "cpu", **more: Any) -> FakeMeter:
    """Return a counter that has always risen by `power_w` joules a second."""
    return FakeMeter(clock, lambda t_s: power_w * t_s, fake_device(component), **more)


def lab(power_w: float = 100.0, **parts: Any) -> tuple[LabTracker, FakeClock]:
    """Return a tracker of one steady counter, not started, and its clock."""
    clock = FakeClock()
    return LabTracker(clock, lambda: [steady(clock, power_w)], **parts), clock


def said(tracker: LabTracker) -> list[str]:
    """Return every line that the runs of a tracker had for people, each once."""
    return sorted(tracker.messages._seen)


def eventually(true: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Tell whether something becomes true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True

"""Fakes for tests of this package and of its users: a clock, a meter, HTTP responses, sysfs files.

They replace the interfaces to the machine and the network; all other code in a test is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from carbon_core import methods, units
from carbon_core.errors import IntensityError
from carbon_core.records import Component, Device, Reading

_METHODS = {"cpu": methods.RAPL_INTEL_SERVER, "gpu": methods.NVML_ENERGY, "ram": methods.RAPL_DRAM}


class FakeClock:
    """A clock that advances only when a test advances it.

    Args:
        start_ns: Initial monotonic time in nanoseconds.
    """

    def __init__(self, start_ns: int = 1_000 * units.NANOSECONDS_PER_SECOND) -> None:
        self._t_ns = start_ns
        self._now = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def advance(self, seconds: float) -> None:
        """Advance monotonic and wall-clock time."""
        self._t_ns += units.nanoseconds(seconds)
        self._now += timedelta(seconds=seconds)

    def step_wall_clock(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic time does not change."""
        self._now += timedelta(seconds=seconds)

    def monotonic_ns(self) -> int:
        """Return the fake monotonic time in nanoseconds."""
        return self._t_ns

    def now(self) -> datetime:
        """Return the fake wall-clock time."""
        return self._now


class FakeMeter:
    """A meter of one device whose values are a function of time.

    Args:
        clock: Source of the readings' times.
        value: Returns the counter's joules (or the watts) at a monotonic time in seconds; None or an
            exception is a failed read.
        device: The device; one with a counter that does not wrap when None.
        period_s: Longest time between two reads in seconds.
    """

    def __init__(
        self,
        clock: Any,
        value: Callable[[float], float | None],
        device: Device | None = None,
        period_s: float = 15.0,
    ) -> None:
        self.devices: Sequence[Device] = (device or fake_device(),)
        self.period_s = period_s
        self.reads = 0
        self.closed = False
        self._clock = clock
        self._value = value

    def read(self) -> list[Reading]:
        """Read the device."""
        self.reads += 1
        t_ns = self._clock.monotonic_ns()
        return [Reading(self.devices[0].id, t_ns, self._value(units.seconds(t_ns)))]

    def close(self) -> None:
        """Record that the meter was closed."""
        self.closed = True


def fake_device(component: Component = "cpu", name: str = "fake", **more: Any) -> Device:
    """Return a device with a counter; of grade A or B, unless `more` names another method."""
    fields = {"method": _METHODS[component], **more}
    return Device(f"{component}:{name}", component, name, **fields)


class FakeFetch:
    """A fetch function with predefined responses that records the requests.

    Args:
        answers: Responses in their order; the last one is repeated. An exception is raised.
    """

    def __init__(self, *answers: Any) -> None:
        self.requests: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = []
        self._answers = list(answers)

    def __call__(self, url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Record a request and return the next response."""
        self.requests.append((url, params, headers))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            wait_s = answer.retry_after_s if isinstance(answer, IntensityError) else None
            raise IntensityError(str(answer), wait_s) from answer
        return answer


class RaplTree:
    """A powercap tree of regular files, such as ``sys/class/powercap/intel-rapl:0/energy_uj``.

    Args:
        root: Directory that replaces ``/``; pass it to the meter as its root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._powercap = root / "sys" / "class" / "powercap"
        self._powercap.mkdir(parents=True, exist_ok=True)

    def zone(self, directory: str, name: str, *, range_j: float = 262_143.3) -> Path:
        """Add a zone, such as ``intel-rapl:0`` named ``package-0``; return its directory."""
        parent, _, _ = directory.rpartition(":")
        nested = directory.count(":") > 1
        path = (self._powercap / parent if nested else self._powercap) / directory
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{round(range_j * 1e6)}\n")
        self.set_joules(path, 0.0)
        return path

    def set_joules(self, zone: Path, joules: float) -> None:
        """Set a zone's counter to a value, modulo its range."""
        range_uj = int((zone / "max_energy_range_uj").read_text())
        (zone / "energy_uj").write_text(f"{round(joules * 1e6) % (range_uj + 1)}\n")

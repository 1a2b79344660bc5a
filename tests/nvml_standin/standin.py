"""Builds and sets up the stand-in for ``libnvidia-ml.so.1`` that lies beside this file.

The library is meant for a child process: the dynamic loader reads ``LD_LIBRARY_PATH`` once, when a
process begins. What its power was between two instants of the monotonic clock is known exactly::

    library = build(tmp_path)
    curve = PowerCurve(100.0, 400.0, period_s=3.0)
    subprocess.run([...], env={**os.environ, **environment(library.parent, gpus=2, curve=curve)})
    truth_j = 2 * curve.energy_j(t0_ns, t1_ns)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
SONAME = "libnvidia-ml.so.1"
READINGS = ("energy", "power", "average", "utilization")
_PREFIX = "NVML_STANDIN_"
_NS_PER_S = 1_000_000_000


class StandinError(RuntimeError):
    """The stand-in cannot be built on this machine."""


@dataclass(frozen=True)
class PowerCurve:
    """The power that every GPU of the stand-in draws: constant, or a square wave.

    The wave has phase 0 at monotonic time 0 and begins each period low.

    Attributes:
        low_w: Watts in the first half of every period.
        high_w: Watts in the second half.
        period_s: Period in seconds; 0 means constant `low_w`.
    """

    low_w: float
    high_w: float
    period_s: float

    @classmethod
    def constant(cls, power_w: float) -> PowerCurve:
        """Return a curve of one power, in watts."""
        return cls(power_w, power_w, 0.0)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> PowerCurve:
        """Return the curve that a process with these variables sees."""
        low_w = float(environ.get(f"{_PREFIX}LOW_W", "100"))
        high_w = float(environ.get(f"{_PREFIX}HIGH_W", str(low_w)))
        return cls(low_w, high_w, float(environ.get(f"{_PREFIX}PERIOD_S", "0")))

    def power_w(self, t_ns: int) -> float:
        """Return the power of one GPU at an instant, in watts."""
        if self.period_s <= 0:
            return self.low_w
        return self.low_w if t_ns % self._period_ns < self._period_ns // 2 else self.high_w

    def energy_j(self, t0_ns: int, t1_ns: int) -> float:
        """Return the joules of one GPU between two instants of the monotonic clock.

        Args:
            t0_ns: The earlier instant, in nanoseconds.
            t1_ns: The later instant, in nanoseconds.
        """
        low_ns = (t1_ns - t0_ns) - (self._high_ns(t1_ns) - self._high_ns(t0_ns))
        high_ns = (t1_ns - t0_ns) - low_ns
        return (low_ns * self.low_w + high_ns * self.high_w) / _NS_PER_S

    @property
    def _period_ns(self) -> int:
        return round(self.period_s * _NS_PER_S)

    def _high_ns(self, t_ns: int) -> int:
        """Return how long the power was high since monotonic 0; exact, as integers are."""
        if self.period_s <= 0:
            return 0
        periods, rest_ns = divmod(t_ns, self._period_ns)
        half_ns = self._period_ns // 2
        return periods * (self._period_ns - half_ns) + max(0, rest_ns - half_ns)


def compiler() -> str | None:
    """Return the C compiler of this machine, or None where there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def why_not() -> str | None:
    """Return why the stand-in cannot be used here, or None when it can."""
    if not sys.platform.startswith("linux"):
        return f"the NVML stand-in is for Linux, this is {sys.platform}"
    if compiler() is None:
        return "the NVML stand-in needs a C compiler, and none of cc, gcc, clang is on PATH"
    return None


def build(into: Path) -> Path:
    """Compile the stand-in.

    Args:
        into: Directory for the library; made when absent.

    Returns:
        The path of the library.

    Raises:
        StandinError: There is no compiler, or it failed; the message holds what it said.
    """
    reason = why_not()
    if reason is not None:
        raise StandinError(reason)
    into.mkdir(parents=True, exist_ok=True)
    library = into / SONAME
    flags = ["-shared", "-fPIC", "-O2", f"-Wl,-soname,{SONAME}"]
    command = [str(compiler()), *flags, "-o", str(library), str(SOURCE), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StandinError(f"{' '.join(command)} failed:\n{done.stderr}")
    return library


def environment(
    lib_dir: Path,
    *,
    gpus: int = 1,
    curve: PowerCurve | None = None,
    supports: Iterable[str] = READINGS,
    counter_ms: float = 0.0,
    latency_ms: float = 0.0,
    hang: tuple[int, float] | None = None,
    lost: tuple[int, int] | None = None,
    lost_index: int = -1,
    reset_at_ns: int | None = None,
    names: Sequence[str] = (),
    limit_w: float = 700.0,
    reload_at_ns: int | None = None,
    stuck_at_ns: int | None = None,
    refusal: int | None = None,
    capability: float | None = None,
    processes: Mapping[int, int] | None = None,
    mig: Sequence[int] = (),
) -> dict[str, str]:
    """Return the variables of a child process that shall see the stand-in.

    Args:
        lib_dir: Directory of the library that `build` made.
        gpus: How many GPUs there are.
        curve: What each of them draws; 100 W when not given.
        supports: The readings that work, out of `READINGS`; others answer "not supported".
        counter_ms: Update interval of the energy counter in milliseconds; 0 is exact, 100 is real.
        latency_ms: How long each reading takes, in milliseconds.
        hang: From which instant (monotonic nanoseconds) and for how long (seconds) readings hang.
        lost: From which instant until which the GPU is lost, in monotonic nanoseconds.
        lost_index: The GPU that `lost` is about; -1 is all of them.
        reset_at_ns: When the energy counters fall to 0, in monotonic nanoseconds.
        names: Names of the GPUs; the last one goes for the rest.
        limit_w: Power limit in watts, which utilisation is a share of.
        reload_at_ns: When the driver is loaded anew, in monotonic nanoseconds.
        stuck_at_ns: From when on the energy counters stand still, in monotonic nanoseconds.
        refusal: NVML error code of readings that are not supported.
        capability: CUDA compute capability.
        processes: Processes on every GPU and their utilisation in percent, by process id.
        mig: Compute slices of each MIG device that every GPU is cut into.

    Returns:
        Settings of the stand-in, and an ``LD_LIBRARY_PATH`` that has `lib_dir` first.
    """
    curve = curve or PowerCurve.constant(100.0)
    settings: dict[str, object] = {
        "GPUS": gpus,
        "LOW_W": curve.low_w,
        "HIGH_W": curve.high_w,
        "PERIOD_S": curve.period_s,
        "SUPPORTS": _supported(supports),
        "COUNTER_MS": counter_ms,
        "LATENCY_MS": latency_ms,
        "LIMIT_W": limit_w,
        "NAMES": "|".join(names),
        "LOST_INDEX": lost_index,
    }
    if hang is not None:
        settings |= {"HANG_FROM_NS": hang[0], "HANG_S": hang[1]}
    if lost is not None:
        settings |= {"LOST_FROM_NS": lost[0], "LOST_UNTIL_NS": lost[1]}
    choices: dict[str, object] = {
        "RESET_AT_NS": reset_at_ns,
        "RELOAD_AT_NS": reload_at_ns,
        "STUCK_AT_NS": stuck_at_ns,
        "REFUSAL": refusal,
        "CAPABILITY": capability,
        "PROCESSES": ",".join(f"{pid}:{load}" for pid, load in (processes or {}).items()),
        "MIG": ",".join(map(str, mig)),
    }
    settings |= {name: value for name, value in choices.items() if value is not None}
    path = os.pathsep.join(filter(None, [str(lib_dir), os.environ.get("LD_LIBRARY_PATH")]))
    return {"LD_LIBRARY_PATH": path} | {_PREFIX + k: str(v) for k, v in settings.items()}


def _supported(readings: Iterable[str]) -> str:
    chosen = tuple(readings)
    unknown = sorted(set(chosen) - set(READINGS))
    if unknown:
        raise ValueError(f"supports must be out of {READINGS}, got {unknown}")
    # An empty variable would count as unset, which means everything.
    return ",".join(chosen) or "none"

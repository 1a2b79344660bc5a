"""A machine with two sockets and eight GPUs, made of files and one small library.

``LD_LIBRARY_PATH`` leads the real ``pynvml`` to a stand-in for the driver's library, whose energy is
known exactly; the processors are a powercap tree of plain files, moved on by a thread of the process
that made the machine. Both sides of the benchmarks run as children inside it. ``nvidia-smi`` is a
stub, for programs that will not look for GPUs without it.

Run as a script, it runs a command inside such a machine::

    python benchmarks/fake_machine.py python benchmarks/codecarbon_side.py sample
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from nvml_standin import standin  # noqa: E402
from nvml_standin.standin import PowerCurve  # noqa: E402

MACHINE = "BENCH_MACHINE"
WAVE = PowerCurve(100.0, 400.0, period_s=3.0)
RAPL_RANGE_UJ = 262_143_328_850
# Watts of each zone: two packages and the memory of each.
ZONES_W = {
    "intel-rapl:0": ("package-0", 90.0),
    "intel-rapl:0/intel-rapl:0:0": ("dram", 12.0),
    "intel-rapl:1": ("package-1", 70.0),
    "intel-rapl:1/intel-rapl:1:0": ("dram", 9.0),
}
# Nothing else of the caller's environment reaches a measured process.
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
_TICK_S = 0.25


@dataclass(frozen=True)
class FakeMachine:
    """A machine to run a child in.

    Attributes:
        root: Directory that holds ``sys`` and ``proc``.
        environ: The whole environment for a child.
        curve: What every GPU draws.
    """

    root: Path
    environ: Mapping[str, str]
    curve: PowerCurve


@contextmanager
def fake_machine(
    *,
    gpus: int = 8,
    curve: PowerCurve = WAVE,
    supports: Iterable[str] = standin.READINGS,
    counter_ms: float = 0.0,
    latency_ms: float = 0.0,
    capability: float | None = None,
    tick_s: float = _TICK_S,
) -> Iterator[FakeMachine]:
    """Make a machine, keep its processor counters running, and take it down again.

    Args:
        gpus: How many GPUs it has.
        curve: What each GPU draws.
        supports: Readings that its GPUs support: energy, power, utilization.
        counter_ms: Update interval of the GPUs' energy counters in milliseconds; 0 is exact.
        latency_ms: How long each call of the GPUs' driver takes, in milliseconds.
        capability: CUDA compute capability of the GPUs; that of Hopper when None.
        tick_s: Update interval of the processors' counters in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="fake-machine-") as name:
        root = Path(name)
        library = standin.build(root / "lib")
        variables = standin.environment(
            library.parent,
            gpus=gpus,
            curve=curve,
            supports=supports,
            counter_ms=counter_ms,
            latency_ms=latency_ms,
            capability=capability,
        )
        counters = _make_powercap(root)
        _make_nvidia_smi(root / "bin")
        (root / "home").mkdir()
        with _running(counters, tick_s):
            yield FakeMachine(root, _environ(root) | variables, curve)


def _environ(root: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = [REPOSITORY, REPOSITORY / "core", REPOSITORY / "tests"]
    return kept | {
        MACHINE: str(root),
        "HOME": str(root / "home"),
        "PATH": os.pathsep.join([str(root / "bin"), kept.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths),
        # No measured process reaches a network: the discard port refuses at once.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "1",
        "KERAS_BACKEND": "torch",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _make_nvidia_smi(folder: Path) -> None:
    folder.mkdir()
    stub = folder / "nvidia-smi"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)


def _make_powercap(root: Path) -> dict[Path, float]:
    """Lay the tree out as Linux does and return its counters with their watts."""
    flat = root / "sys/class/powercap"
    zones = root / "sys/devices/virtual/powercap/intel-rapl"
    flat.mkdir(parents=True)
    counters = {}
    for place, (name, power_w) in ZONES_W.items():
        zone = zones / place
        zone.mkdir(parents=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text(f"{RAPL_RANGE_UJ}\n")
        (flat / zone.name).symlink_to(zone)
        counters[zone / "energy_uj"] = power_w
    (flat / "intel-rapl").symlink_to(zones)
    (zones / "subsystem").symlink_to(flat)
    _borrow(root)
    return counters


def _borrow(root: Path) -> None:
    """Show the real machine where the fake one has nothing of its own."""
    (root / "proc").symlink_to("/proc")
    for part in ("fs", "devices/system"):
        (root / "sys" / part).symlink_to(Path("/sys") / part)


@contextmanager
def _running(counters: Mapping[Path, float], tick_s: float) -> Iterator[None]:
    stop = threading.Event()
    _write(counters, 0.0)
    thread = threading.Thread(target=_run_counters, args=(counters, stop, tick_s), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _run_counters(counters: Mapping[Path, float], stop: threading.Event, tick_s: float) -> None:
    begun_s = time.monotonic()
    while not stop.wait(tick_s):
        _write(counters, time.monotonic() - begun_s)


def _write(counters: Mapping[Path, float], elapsed_s: float) -> None:
    for number, (path, power_w) in enumerate(counters.items()):
        # Always twelve digits: overwritten in place, so that a reader sees no torn value.
        value_uj = 100_000_000_000 + number * 1_000_000_000 + round(elapsed_s * power_w * 1e6)
        with open(path, "r+b" if path.exists() else "wb", buffering=0) as file:
            file.write(b"%012d\n" % (value_uj % RAPL_RANGE_UJ))


def main() -> int:
    """Run the command of the arguments inside a fake machine."""
    with fake_machine() as machine:
        done = subprocess.run(sys.argv[1:], env=dict(machine.environ), check=False)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())

"""A graphics driver that hangs while it is searched costs its own thread; the rest is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nvml_standin import standin

pytest.importorskip("pynvml", reason="the NVML stand-in is read by pynvml (nvidia-ml-py)")
_REASON = standin.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]

JOB = """
import os, time
from carbon_callbacks import EmissionsTracker
began = time.monotonic()
tracker = EmissionsTracker(
    save_to_file=False, force_cpu_power=100, force_ram_power=10, log_level="ERROR"
)
tracker.start()
started = time.monotonic()
while not tracker.report().energy_kwh.value and time.monotonic() - began < 20:
    time.sleep(0.05)
report = tracker.report()
tracker.stop()
reasons = [r.reason for r in report.refusals if "NVML" in r.reason]
print(started - began < 1, report.components, reasons, flush=True)
os._exit(0)
"""


def outcome(library: Path, hang_s: float) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    variables |= standin.environment(library.parent, hang=(0, hang_s))
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        env={**variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_driver_that_hangs_holds_up_neither_start_nor_the_other_meters(tmp_path: Path) -> None:
    library = standin.build(tmp_path)
    hanging = "True ('cpu', 'ram') ['NVML did not answer within 5 s']\n"
    assert outcome(library, hang_s=30.0) == hanging
    assert outcome(library, hang_s=0.0) == "True ('cpu', 'gpu', 'ram') []\n"

"""A graphics driver that hangs while it is searched costs its own thread; the rest is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nvml_standin import standin

from carbon_core.hardware.base import DetectionOptions

pytest.importorskip("pynvml", reason="the NVML stand-in is read by pynvml (nvidia-ml-py)")
_REASON = standin.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]

JOB = """
import os, sys, time
from dataclasses import replace
from carbon_callbacks import EmissionsTracker
from carbon_core.hardware.base import DetectionOptions
from carbon_core.hardware.discover import discover
from carbon_core.hardware.host import Host
options = DetectionOptions(
    force_cpu_power_w=100, force_ram_power_w=10, gpu_search_limit_s=float(sys.argv[1])
)
class Tracker(EmissionsTracker):
    def make_parts(self, run_id):
        parts = super().make_parts(run_id)
        detect = lambda: discover(Host(), parts.clock, options, parts.messages.warn)
        return replace(parts, detect=detect)
began = time.monotonic()
tracker = Tracker(save_to_file=False, log_level="ERROR")
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


def outcome(library: Path, hang_s: float, limit_s: float) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    variables |= standin.environment(library.parent, hang=(0, hang_s))
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(limit_s)],
        env={**variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_driver_that_hangs_holds_up_neither_start_nor_the_other_meters(tmp_path: Path) -> None:
    library = standin.build(tmp_path)
    hanging = "True ('cpu', 'ram') ['NVML did not respond within 0.5 s']\n"
    assert outcome(library, hang_s=30.0, limit_s=0.5) == hanging
    limit_s = DetectionOptions().gpu_search_limit_s
    assert limit_s == 5.0
    assert outcome(library, hang_s=0.0, limit_s=limit_s) == "True ('cpu', 'gpu', 'ram') []\n"

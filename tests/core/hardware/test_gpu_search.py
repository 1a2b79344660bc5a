"""A graphics driver that hangs while it is searched costs its own thread; the rest is measured."""

from __future__ import annotations

import json
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


GATED = """
import json, os, sys, time
from carbon_callbacks import EmissionsTracker
def until(holds):
    end = time.monotonic() + 20
    while not holds(tracker.report()) and time.monotonic() < end:
        time.sleep(0.02)
    return tracker.report()
def energies(report):
    found = report.window.by_device.items()
    return {d.component: (e.joules, e.missing_s) for d, e in found}
def said(report):
    return any("did not respond" in refusal.reason for refusal in report.refusals)
tracker = EmissionsTracker(save_to_file=False, log_level="ERROR")
if sys.argv[1] == "prepared":
    tracker.prepare()
tracker.start()
begun = time.monotonic()
before = until(lambda r: said(r) and {"cpu", "ram"} <= set(r.components))
closed_s = time.monotonic() - begun
gate = open(os.environ["NVML_STANDIN_INIT_GATE"], "w")
until(lambda r: r.window.duration_s - energies(r).get("gpu", (0, r.window.duration_s))[1] > 0.3)
tracker.stop()
after = tracker.final_report
json.dump(
    [energies(before), said(before), closed_s, energies(after), after.window.duration_s], sys.stdout
)
"""


@pytest.mark.parametrize("how", ["plain", "prepared"])
def test_while_a_driver_opens_the_others_are_read_and_its_gpu_joins(
    tmp_path: Path, how: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    variables = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    curve = standin.PowerCurve.constant(200.0)
    variables |= standin.environment(standin.build(tmp_path).parent, curve=curve)
    variables |= {"NVML_STANDIN_INIT_GATE": str(gate), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", GATED, how],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, is_said, closed_s, after, duration_s = json.loads(done.stdout)
    assert is_said
    assert set(before) == {"cpu", "ram"}
    assert all(joules > 0 for joules, _ in before.values())
    joules, missing_s = after["gpu"]
    # Counted from its own first reading; the time before is extrapolated, and said to be.
    assert closed_s <= missing_s < duration_s
    assert joules == pytest.approx(200.0 * duration_s, rel=0.01)
    assert after["cpu"][1] < closed_s

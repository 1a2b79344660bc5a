"""NVIDIA GPUs, from the library that the real pynvml loads to the joules of a run."""

import json
import os
import subprocess
import sys
import time

import pytest
from nvml_standin.standin import PowerCurve, build, environment, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

WAVE = PowerCurve(100.0, 400.0, period_s=0.5)

# Measures for a while and prints, for each GPU, its method, joules and missing seconds, with the
# instants between which they were drawn.
MEASURE = """
import json, sys, time
from carbon_callbacks import EmissionsTracker
settings = json.loads(sys.argv[1])
tracker = EmissionsTracker(save_to_file=False, log_level="error", **settings)
tracker.start()
time.sleep(0.3)
with tracker.window("all") as window:
    time.sleep(float(sys.argv[2]))
window = window.result
devices = [
    {"id": d.id, "method": d.method.name, "name": d.name, "joules": e.joules, "missing_s": e.missing_s}
    for d, e in window.by_device().items()
    if d.component == "gpu"
]
kg = tracker.stop()
json.dump(
    {"devices": devices, "t0_ns": window.start.t_ns, "t1_ns": window.end.t_ns, "kg": kg}, sys.stdout
)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def measure(library, tmp_path):
    def run(seconds=1.2, settings=None, visible=None, **standin):
        variables = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        variables |= environment(library.parent, **{"curve": WAVE, **standin})
        variables |= {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
        if visible is not None:
            variables["CUDA_VISIBLE_DEVICES"] = visible
        command = [sys.executable, "-c", MEASURE, json.dumps(settings or {}), str(seconds)]
        done = subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_energy_counter_gives_the_truth_of_a_window(measure):
    found = measure(gpus=3)
    truth_j = WAVE.energy_j(found["t0_ns"], found["t1_ns"])
    assert [device["method"] for device in found["devices"]] == ["nvml.energy"] * 3
    for device in found["devices"]:
        assert device["joules"] == pytest.approx(truth_j, rel=0.01)
        assert device["missing_s"] == 0.0


def test_without_a_counter_power_is_polled_and_integrated(measure):
    curve = PowerCurve(100.0, 400.0, period_s=2.0)
    found = measure(seconds=4.0, supports=("power", "utilization"), curve=curve)
    (device,) = found["devices"]
    assert device["method"] == "nvml.power"
    # A step of the wave falls somewhere within 0.1 s between two polls.
    truth_j = curve.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["joules"] == pytest.approx(truth_j, abs=4 * 0.05 * 300)


def test_without_counter_and_power_the_limit_times_utilisation_counts(measure):
    found = measure(
        supports=("utilization",), curve=PowerCurve.constant(350.0), limit_w=700.0, seconds=1.0
    )
    (device,) = found["devices"]
    assert device["method"] == "gpu.limit_utilization"
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["joules"] == pytest.approx(350.0 * seconds, rel=0.02)


def test_a_gpu_that_tells_nothing_is_left_out_not_counted_as_nothing(measure):
    found = measure(supports=(), seconds=0.2)
    assert found["devices"] == []
    assert found["kg"] > 0


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, "0123"),
        ("2,0", "20"),
        ("", ""),
        ("-1", ""),
        ("1,9,2", "1"),
        ("GPU-00000000-0000-0000-0000-000000000003", "3"),
    ],
)
def test_the_visible_devices_are_the_ones_that_count(measure, visible, chosen):
    found = measure(gpus=4, visible=visible, seconds=0.1)
    assert "".join(device["id"][-1] for device in found["devices"]) == chosen


def test_the_users_choice_comes_before_the_visible_devices(measure):
    settings = {"gpu_ids": [1, "GPU-00000000-0000-0000-0000-000000000002"]}
    found = measure(gpus=4, visible="0", settings=settings, seconds=0.1)
    assert "".join(device["id"][-1] for device in found["devices"]) == "12"


def test_a_gpu_that_is_lost_and_comes_back_is_made_up_for_by_its_counter(measure):
    now_ns = time.monotonic_ns()
    lost = (now_ns + 2_000_000_000, now_ns + 3_000_000_000)
    settings = {"measure_power_secs": 0.2}
    found = measure(seconds=4.5, settings=settings, lost=lost, curve=PowerCurve.constant(200.0))
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["joules"] == pytest.approx(200.0 * seconds, rel=0.02)
    assert 0.5 < device["missing_s"] < 1.6


def test_a_counter_that_is_reset_loses_one_interval_and_says_so(measure):
    reset_ns = time.monotonic_ns() + 2_500_000_000
    found = measure(
        seconds=4.0,
        settings={"measure_power_secs": 0.2},
        reset_at_ns=reset_ns,
        curve=PowerCurve.constant(200.0),
    )
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["joules"] == pytest.approx(200.0 * seconds, rel=0.05)
    assert 0.0 < device["missing_s"] < 0.5


def test_a_driver_that_hangs_delays_neither_training_nor_the_end(library, tmp_path):
    hang = (time.monotonic_ns() + 2_000_000_000, 5.0)
    code = """
import time
from carbon_callbacks import EmissionsTracker
tracker = EmissionsTracker(save_to_file=False, log_level="error", measure_power_secs=0.1)
tracker.start()
time.sleep(2.5)
t0 = time.monotonic(); tracker.mark("phase"); t1 = time.monotonic()
with tracker.window("w"): pass
t2 = time.monotonic(); kg = tracker.stop(); t3 = time.monotonic()
print(t1 - t0, t2 - t1, t3 - t2, kg > 0, tracker.final_report.missing_s > 0)
"""
    variables = os.environ | environment(library.parent, hang=hang)
    variables |= {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    mark_s, window_s, stop_s, *facts = done.stdout.split()
    assert float(mark_s) < 0.05
    assert float(window_s) < 0.5
    assert float(stop_s) < 2.5
    assert facts == ["True", "True"]

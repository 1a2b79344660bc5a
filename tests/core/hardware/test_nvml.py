"""NVIDIA GPUs, from the library that the real pynvml loads to the joules of a run."""

import json
import os
import subprocess
import sys
import time

import pytest
from nvml_standin.standin import PowerCurve, build, environment, why_not

from carbon_core.hardware.host import Host

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

UUID = "GPU-00000000-0000-0000-0000-00000000000"
# So fast that a reading costs at most a joule and a half, however late a busy machine makes it: between
# two readings, the power is taken as even.
WAVE = PowerCurve(100.0, 400.0, period_s=0.01)

# Runs the code in the variable BEFORE, measures for a while and prints, for each GPU, its method,
# joules and missing seconds, with the instants between which they were drawn.
MEASURE = """
import json, os, sys, time
exec(os.environ.get("BEFORE", ""))
from carbon_callbacks import EmissionsTracker
processes = os.environ.get("NVML_STANDIN_PROCESSES", "")
os.environ["NVML_STANDIN_PROCESSES"] = processes.replace("self", str(os.getpid()))
settings = json.loads(sys.argv[1])
tracker = EmissionsTracker(save_to_file=False, log_level="warning", **settings)
tracker.start()
time.sleep(0.3)
with tracker.window("all") as window:
    time.sleep(float(sys.argv[2]))
window = window.result
devices = [
    {"id": d.id, "method": d.method.name, "name": d.name, "joules": e.joules, "missing_s": e.missing_s}
    for d, e in window.by_device.items()
    if d.component == "gpu"
]
kg = tracker.stop()
report = tracker.final_report
energy = report.energy_kwh
json.dump(
    {
        "devices": devices, "t0_ns": window.start.t_ns, "t1_ns": window.end.t_ns, "kg": kg,
        "shared": report.shared, "summary": report.summary(),
        "refused": [f"{r.reason} | {r.remedy}" for r in report.refusals if r.meter == "nvml"],
        "gpu_share": report.window.component_j("gpu") / report.window.joules,
        "low": energy.low / energy.value, "high": energy.high / energy.value,
    },
    sys.stdout,
)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def measure(library, tmp_path):
    def run(seconds=1.2, settings=None, visible=None, environ=None, **standin):
        variables = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        variables |= environment(library.parent, **{"curve": WAVE, **standin})
        variables |= {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
        if visible is not None:
            variables["CUDA_VISIBLE_DEVICES"] = visible
        variables |= environ or {}
        command = [sys.executable, "-c", MEASURE, json.dumps(settings or {}), str(seconds)]
        done = subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "stderr": done.stderr}

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
    supports = ("power", "utilization")
    found = measure(seconds=4.0, supports=supports, curve=curve, capability=7.5)
    (device,) = found["devices"]
    assert device["method"] == "nvml.power"
    # A step of the wave falls somewhere within 0.1 s between two polls.
    truth_j = curve.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["joules"] == pytest.approx(truth_j, abs=4 * 0.05 * 300)


def test_the_drivers_own_average_comes_before_its_instantaneous_power(measure):
    found = measure(seconds=3.0, supports=("power", "average"))
    (device,) = found["devices"]
    assert device["method"] == "nvml.power.average"
    # The wave's period divides the second that the driver averages over.
    truth_j = WAVE.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["joules"] == pytest.approx(truth_j, rel=0.03)


@pytest.mark.parametrize(
    ("capability", "supports", "method"),
    [
        (7.0, ("power",), "nvml.power"),
        (8.0, ("power",), "nvml.power.sampled"),  # GA100: a quarter of the time
        (8.6, ("power", "average"), "nvml.power"),  # GA10x: its field of the instant is whole
        (9.0, ("power",), "nvml.power.average"),
        (9.0, ("power", "average"), "nvml.power.average"),
    ],
)
def test_what_a_power_reading_is_worth_depends_on_the_board(measure, capability, supports, method):
    found = measure(seconds=0.1, supports=supports, capability=capability)
    assert found["devices"][0]["method"] == method


def test_boards_of_a_slow_driver_are_counted(measure):
    found = measure(gpus=8, latency_ms=20.0, seconds=4.0, curve=PowerCurve.constant(200.0))
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    # The driver takes a value anywhere in a call of 20 ms: its time is known to 10 ms, at both ends.
    uncertain_j = 2 * 0.010 * 200.0
    for device in found["devices"]:
        assert device["joules"] == pytest.approx(200.0 * seconds, abs=uncertain_j)


def test_a_counter_that_is_not_there_is_told(measure):
    refused = measure(seconds=0.1, supports=("power",))["refused"]
    assert refused == ["no energy counter of GPU 0 (" + UUID + "0): Not Supported | "]


def test_a_counter_that_may_not_be_read_is_told_with_a_remedy(measure):
    refused = measure(seconds=0.1, supports=("power",), refusal=4)["refused"]
    assert len(refused) == 2  # the counter and the average
    assert refused[0].startswith("no energy counter of GPU 0 (" + UUID + "0): Insufficient Perm")
    assert "NVIDIA_DRIVER_CAPABILITIES" in refused[0]


def test_a_counter_that_stands_still_is_missing_not_zero(measure):
    found = measure(
        seconds=4.0,
        settings={"measure_power_secs": 0.2},
        stuck_at_ns=time.monotonic_ns() + 2_000_000_000,
        curve=PowerCurve.constant(200.0),
    )
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["missing_s"] > 0.5
    # A second passes before standing still is sure.
    assert 0.6 * 200.0 * seconds < device["joules"] <= 200.0 * seconds * 1.02


def test_power_of_zero_is_no_reading(measure):
    found = measure(seconds=0.2, supports=("power", "average"), curve=PowerCurve.constant(0.0))
    assert found["devices"] == []
    assert any(
        "no power of GPU 0 (" + UUID + "0): the driver returns 0" in r for r in found["refused"]
    )


@pytest.mark.parametrize("power_w", [6000.0, 4.0e6])
def test_a_power_that_no_board_draws_is_missing(measure, power_w):
    found = measure(seconds=0.5, supports=("power",), curve=PowerCurve.constant(power_w))
    (device,) = found["devices"]
    assert device["joules"] == 0.0
    assert device["missing_s"] > 0.4


def test_a_driver_that_is_loaded_anew_is_found_again(measure):
    found = measure(
        seconds=4.0,
        gpus=2,
        settings={"measure_power_secs": 0.2},
        reload_at_ns=time.monotonic_ns() + 2_500_000_000,
        curve=PowerCurve.constant(200.0),
    )
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    for device in found["devices"]:
        assert device["joules"] == pytest.approx(200.0 * seconds, rel=0.05)
        assert 0.0 < device["missing_s"] < 1.5


def test_a_board_that_is_lost_from_the_start_leaves_the_others_their_places(measure):
    lost = (0, 2**62)
    found = measure(gpus=3, lost=lost, lost_index=1, seconds=0.2, visible="2,1")
    assert [device["id"][-1] for device in found["devices"]] == ["2"]
    assert "GPU 1 (lost) gives neither energy" in found["stderr"]


@pytest.mark.parametrize(("module_w", "told"), [(900.0, 1), (0.0, 0)])
def test_the_meter_of_a_whole_module_is_told_and_not_counted(measure, module_w, told):
    environ = {"NVML_STANDIN_MODULE_W": str(module_w)}
    found = measure(names=["NVIDIA GH200 480GB"], environ=environ, seconds=0.5)
    (device,) = found["devices"]
    truth_j = WAVE.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["joules"] == pytest.approx(truth_j, rel=0.02)
    assert sum("(900 W now) is not counted" in reason for reason in found["refused"]) == told


def test_a_slice_counts_its_whole_board_and_says_so(measure):
    slice_name = "MIG-00000000-0000-0000-0001-000000000000"
    found = measure(gpus=2, mig=(1, 2, 4), visible=slice_name, seconds=0.5)
    (device,) = found["devices"]
    truth_j = WAVE.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["joules"] == pytest.approx(truth_j, rel=0.02)
    (note,) = found["shared"]
    assert note.endswith(
        "the whole GPU is counted; the selected MIG devices are at least 29% of it"
    )
    assert "shared devices" in found["summary"]
    foreign = found["gpu_share"] * (1 - 2 / 7)
    assert found["low"] == pytest.approx((1 - foreign) / found["high"], rel=1e-6)


def test_a_board_that_is_cut_and_chosen_whole_is_noted_and_not_halved(measure):
    found = measure(mig=(3, 4), seconds=0.2)
    assert found["shared"] == [
        "NVML Stand-In: MIG: the whole GPU is counted, with all its MIG devices"
    ]
    assert found["low"] == pytest.approx(1 / found["high"])


@pytest.mark.skipif(
    not Host().sees_all_processes(), reason="process ids are a container's own here"
)
@pytest.mark.parametrize(
    ("processes", "share"), [("self:60", None), ("self:60,1:20", 0.75), ("1:50", 0.0)]
)
def test_processes_of_others_lower_what_is_surely_the_runs_own(measure, processes, share):
    found = measure(environ={"NVML_STANDIN_PROCESSES": processes}, seconds=0.3)
    if share is None:
        assert found["shared"] == []
        return
    (note,) = found["shared"]
    assert note.endswith(f"at least {share:.0%} of its work was this run's")
    foreign = found["gpu_share"] * (1 - share)
    assert found["low"] == pytest.approx((1 - foreign) / found["high"], rel=1e-6)


@pytest.mark.parametrize(
    ("order", "visible", "told"),
    [(None, "1", True), ("PCI_BUS_ID", "1", False), (None, UUID + "1", False), (None, None, False)],
)
def test_indices_of_cuda_on_a_mixed_machine_are_questioned(measure, order, visible, told):
    found = measure(
        gpus=2,
        names=["NVIDIA A100", "NVIDIA H100"],
        visible=visible,
        environ={"CUDA_DEVICE_ORDER": order} if order else {},
        seconds=0.1,
    )
    assert ("CUDA numbers the fastest GPU first" in found["stderr"]) is told


def test_without_counter_and_power_the_limit_times_utilisation_counts(measure):
    found = measure(
        supports=("utilization",), curve=PowerCurve.constant(350.0), limit_w=700.0, seconds=1.0
    )
    (device,) = found["devices"]
    assert device["method"] == "gpu.limit_utilization"
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["joules"] == pytest.approx((0.1 + 0.75 * 0.5) * 700.0 * seconds, rel=0.02)


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
tracker = EmissionsTracker(
    save_to_file=False, log_level="error", measure_power_secs=0.1, shutdown_timeout_s=0.5
)
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
    assert float(stop_s) < 1.0
    assert facts == ["True", "True"]


# --- an older package, and boards of which a call fails -------------------------------------------


def lacking(*names: str) -> dict[str, str]:
    """Return the variable with code that removes names from pynvml, as in an older version."""
    return {"BEFORE": f"import pynvml\nfor name in {names}: delattr(pynvml, name)"}


OLDER = (
    "NVML_FI_DEV_POWER_AVERAGE",
    "NVML_FI_DEV_POWER_INSTANT",
    "NVML_POWER_SCOPE_MODULE",
    "NVML_DEVICE_MIG_ENABLE",
    "NVMLError_GpuIsLost",
    "NVMLError_NoPermission",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetCudaComputeCapability",
)


def test_what_an_older_package_lacks_costs_nothing_else(measure):
    found = measure(environ=lacking(*OLDER), gpus=2, seconds=0.3)
    assert [device["method"] for device in found["devices"]] == ["nvml.energy"] * 2
    assert found["stderr"] == ""


@pytest.mark.parametrize(
    ("missing", "method", "uuid"),
    [
        (("nvmlDeviceGetTotalEnergyConsumption",), "nvml.power.average", UUID + "0"),
        (("nvmlDeviceGetUUID",), "nvml.energy", "index-0"),
        (("nvmlDeviceGetName", "nvmlDeviceGetUtilizationRates"), "nvml.energy", UUID + "0"),
    ],
)
def test_each_call_is_optional(measure, missing, method, uuid):
    (device,) = measure(environ=lacking(*missing), seconds=0.5)["devices"]
    assert (device["method"], device["id"]) == (method, f"gpu:{uuid}")
    assert device["joules"] > 0


def test_a_package_that_cannot_be_used_is_refused_with_a_remedy(measure):
    found = measure(environ=lacking("nvmlInit"), seconds=0.1)
    (refused,) = found["refused"]
    assert "NVML cannot be used: the installed package does not support it" in refused
    assert "pip install --upgrade nvidia-ml-py" in refused
    assert found["devices"] == []


def test_a_name_that_is_no_utf_8_is_counted(measure):
    found = measure(names=["NVIDIA \udcae A1"], seconds=0.2)
    (device,) = found["devices"]
    assert device["name"] == "NVIDIA \ufffd A1"


# A call that fails is made once more, by the package, which raises its error.
FIRST_CALLS_FAIL = """
import pynvml
look_up = pynvml._nvmlGetFunctionPointer
calls = iter(range(2 * FAILURES))
def failing_at_first(name):
    function = look_up(name)
    if name != "nvmlDeviceGetTotalEnergyConsumption":
        return function
    return lambda *given: 999 if next(calls, None) is not None else function(*given)
pynvml._nvmlGetFunctionPointer = failing_at_first
"""


def test_one_call_that_fails_at_the_start_leaves_the_counter(measure):
    before = FIRST_CALLS_FAIL.replace("FAILURES", "1")
    (device,) = measure(environ={"BEFORE": before})["devices"]
    assert device["method"] == "nvml.energy"


def test_a_counter_that_works_later_is_used_from_then_on(measure):
    before = FIRST_CALLS_FAIL.replace("FAILURES", "3")
    found = measure(environ={"BEFORE": before}, seconds=4.0, curve=PowerCurve.constant(200.0))
    assert [device["method"] for device in found["devices"]] == [
        "nvml.power.average",
        "nvml.energy",
    ]
    assert len({device["id"] for device in found["devices"]}) == 1
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    joules = sum(device["joules"] for device in found["devices"])
    # The GPU may join within the window, with what it has since the start 0.3 s earlier.
    assert 0.99 * 200.0 * seconds <= joules <= 1.01 * 200.0 * (seconds + 0.4)
    assert min(device["joules"] for device in found["devices"]) > 0.0


ONE_RAISES = """
import pynvml
found = pynvml.nvmlDeviceGetHandleByIndex
def raising(index):
    if index == 1:
        raise OSError("the board does not answer")
    return found(index)
pynvml.nvmlDeviceGetHandleByIndex = raising
"""


def test_a_board_that_raises_anything_leaves_the_others_and_is_said(measure):
    found = measure(gpus=3, environ={"BEFORE": ONE_RAISES}, seconds=0.2)
    assert [device["id"][-1] for device in found["devices"]] == ["0", "2"]
    assert "GPU 1 (lost) gives neither" in found["stderr"]
    assert "(the board does not answer); its energy is not counted" in found["stderr"]
    assert any("the board does not answer" in reason for reason in found["refused"])


def test_a_driver_that_refuses_is_said(measure):
    found = measure(environ={"NVML_STANDIN_INIT_ERROR": "18"}, seconds=0.1)
    assert "version mismatch; no NVIDIA GPU is counted: check that" in found["stderr"]


# --- counters that stand still, boards that are lost, drivers that hang ---------------------------


def test_a_counter_that_never_moves_is_replaced_by_the_power(measure):
    found = measure(seconds=2.5, stuck_at_ns=10**9, curve=PowerCurve.constant(250.0))
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    # The window begins 0.3 s after the run: what is learned later about that time is booked within it.
    assert 250.0 * seconds <= device["joules"] <= 250.0 * (seconds + 0.4)
    assert device["missing_s"] >= seconds
    assert found["stderr"].count("its energy counter stands still") == 1


def test_a_power_that_falls_to_nothing_is_a_reading_of_a_board_without_work(measure):
    curve = PowerCurve(0.0, 400.0, period_s=3.0)
    supports = ("power", "utilization")
    # The run begins where the power is highest: a power of 0 would then be a missing reading.
    before = "import carbon_callbacks; time.sleep(3.0 - (time.monotonic() - 1.55) % 3.0)"
    found = measure(
        seconds=3.0, supports=supports, curve=curve, capability=7.5, environ={"BEFORE": before}
    )
    (device,) = found["devices"]
    truth_j = curve.energy_j(found["t0_ns"], found["t1_ns"])
    assert device["missing_s"] == 0.0
    assert device["joules"] == pytest.approx(truth_j, abs=3 * 0.06 * 400)


def test_a_gpu_that_is_lost_for_good_is_said(measure):
    lost = (time.monotonic_ns() + 2_000_000_000, 2**62)
    settings = {"measure_power_secs": 0.3}
    found = measure(seconds=3.5, settings=settings, lost=lost, curve=PowerCurve.constant(200.0))
    (device,) = found["devices"]
    assert device["missing_s"] > 0.5
    assert found["stderr"].count("it gives no valid reading; its energy is estimated") == 1


def test_gpus_of_a_driver_that_is_slow_to_open_are_counted_from_the_start(measure):
    found = measure(
        seconds=3.0, environ={"NVML_STANDIN_INIT_S": "1.5"}, curve=PowerCurve.constant(200.0)
    )
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    # The window begins while the driver opens; what was drawn before it is not within it.
    assert device["joules"] == pytest.approx(200.0 * seconds, rel=0.02)
    assert "NVML did not respond within 1 s; its GPUs are counted once it does" in found["stderr"]


def test_a_driver_that_never_opens_costs_the_other_meters_nothing(measure):
    found = measure(seconds=0.1, environ={"NVML_STANDIN_INIT_S": "30"})
    assert found["devices"] == []
    assert found["kg"] > 0
    assert "did not respond" in found["stderr"]


def test_a_query_of_the_load_that_hangs_costs_only_the_load(measure):
    found = measure(
        seconds=4.0,
        environ={"NVML_STANDIN_LOAD_HANG_S": "30"},
        settings={"measure_power_secs": 0.5},
        curve=PowerCurve.constant(200.0),
    )
    (device,) = found["devices"]
    seconds = (found["t1_ns"] - found["t0_ns"]) / 1e9
    assert device["joules"] == pytest.approx(200.0 * seconds, rel=0.01)
    assert device["missing_s"] == 0.0

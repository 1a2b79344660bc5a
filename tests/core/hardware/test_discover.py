"""The search for meters: the best that works for each component, each refusal with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from carbon_core.hardware.base import Detection
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.testing import FakeClock, RaplTree

CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz
physical id\t: 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> RaplTree:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(CPUINFO)
    return RaplTree(tmp_path)


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def search(tree: RaplTree, problems: list[str]) -> Iterator[object]:
    """Return a function that searches the tree; no GPU is ever visible to it."""
    found: list[Detection] = []

    def search(host: Host | None = None, **wanted: object) -> Detection:
        asked = DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""}, **wanted)  # type: ignore[arg-type]
        found.append(discover(host or Host(tree.root), FakeClock(), asked, problems.append))
        return found[-1]

    yield search
    for detection in found:
        for meter in detection.meters:
            meter.close()


def methods(detection: Detection) -> dict[str, str]:
    return {
        device.component: device.method.name
        for meter in detection.meters
        for device in meter.devices
    }


def test_counters_are_preferred(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "dram")
    detection = search()
    assert methods(detection) == {"cpu": "rapl.package", "ram": "rapl.dram"}
    assert [refusal.meter for refusal in detection.refusals] == ["nvml"]


def test_without_dram_memory_is_modelled(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    assert methods(search()) == {"cpu": "rapl.package", "ram": "ram.model"}


def test_without_counters_everything_is_modelled_and_the_refusal_says_why(search) -> None:
    detection = search()
    assert methods(detection) == {"cpu": "cpu.load_tdp", "ram": "ram.model"}
    refusals = {refusal.meter: refusal for refusal in detection.refusals}
    assert refusals["rapl"].component == "cpu"
    assert "no RAPL package zone" in refusals["rapl"].reason
    assert refusals["nvml"].component == "gpu"
    assert refusals["nvml"].reason


def test_zones_left_out_are_told_with_their_reasons(search, tree: RaplTree) -> None:
    for view in ("intel-rapl", "intel-rapl-mmio"):
        tree.zone(f"{view}:0", "package-0")
    tree.zone("intel-rapl:1", "psys")
    detection = search()
    assert methods(detection)["cpu"] == "rapl.package"
    reasons = [refusal.reason for refusal in detection.refusals if refusal.meter == "rapl"]
    assert [reason.split(" is not counted: ")[0] for reason in reasons] == [
        "intel-rapl:1 (psys)",
        "intel-rapl-mmio:0 (package-0)",
    ]
    assert detection.host.facts["rapl_psys"] == "present (intel-rapl:1), not counted"


def test_cores_without_a_package_are_counted_and_graded_lower(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "core")
    (meter, _) = search().meters
    (device,) = meter.devices
    assert (device.method.name, device.method.grade, device.component) == ("rapl.core", "C", "cpu")


def test_where_neither_files_nor_events_can_be_used_both_say_why(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "psys")
    detection = search()
    assert methods(detection)["cpu"] == "cpu.load_tdp"
    refusals = {refusal.meter: refusal.reason for refusal in detection.refusals}
    assert "only a psys zone" in refusals["rapl"]
    assert "no perf event power/energy-pkg" in refusals["rapl by perf"]


def test_the_load_model_can_be_forced(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    assert methods(search(force_cpu_load=True))["cpu"] == "cpu.load_tdp"


def test_forced_powers_replace_the_meters(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "dram")
    assert methods(search(force_ram_power_w=5.0)) == {"cpu": "rapl.package", "ram": "forced"}
    assert methods(search(force_cpu_power_w=5.0)) == {
        "cpu": "cpu.load_tdp",
        "ram": "ram.model",
    }


def test_no_device_is_metered_twice(search, tree: RaplTree) -> None:
    for socket in (0, 1):
        tree.zone(f"intel-rapl:{socket}", f"package-{socket}")
        tree.zone(f"intel-rapl:{socket}:0", "dram")
    ids = [device.id for meter in search().meters for device in meter.devices]
    assert len(ids) == len(set(ids)) == 4


def test_periods_are_those_asked_for(search, tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    assert [meter.period_s for meter in search(period_s=7.0).meters] == [7.0, 7.0]


def test_facts_about_the_machine(search) -> None:
    host = search().host
    assert host.cpu_model == "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"
    assert host.cpu_count == Host().logical_cpus() >= 1
    assert host.ram_total_gb == Host().ram_total_gb() > 0
    assert host.gpu_models == ()
    assert float(host.facts["cpu_tdp_w"]) > 0


def test_a_machine_that_tells_nothing_is_still_modelled(tmp_path: Path, problems) -> None:
    detection = discover(
        Host(tmp_path),
        FakeClock(),
        DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""}),
        problems.append,
    )
    assert methods(detection) == {"cpu": "cpu.load_default", "ram": "ram.model"}
    assert detection.host.cpu_model is None


def test_loads_are_gauged(search) -> None:
    gauge = search().gauge
    gauge.sample()
    loads = gauge.means()
    assert 0 <= loads.cpu_percent <= 100
    assert 0 < loads.ram_percent <= 100
    assert loads.ram_used_gb > 0
    assert loads.gpu_percent is None


@pytest.mark.parametrize("content", ["garbage\n", ""])
def test_garbage_in_one_file_does_not_end_the_search(search, tree: RaplTree, content: str) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    (package / "max_energy_range_uj").write_text(content)
    assert methods(search()) == {"cpu": "rapl.package", "ram": "ram.model"}


@pytest.fixture
def hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that leaves only some files of /proc for psutil to see."""
    psutil = pytest.importorskip("psutil")
    if not Path("/proc/stat").exists():
        pytest.skip("needs Linux")

    def leave(*names: str) -> None:
        left = tmp_path / "left"
        left.mkdir()
        for name in names:
            (left / name).write_bytes(Path("/proc", name).read_bytes())
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(left))

    return leave


def test_hidden_processor_times_are_a_refusal_and_memory_still_counts(search, hide) -> None:
    hide("meminfo")
    detection = search()
    assert methods(detection) == {"ram": "ram.model"}
    refused = [refusal.meter for refusal in detection.refusals if refusal.component == "cpu"]
    assert refused == ["rapl", "rapl by perf", "cpu load"]


def test_hidden_processor_times_do_not_matter_to_a_counter(search, hide, tree: RaplTree) -> None:
    hide("meminfo")
    tree.zone("intel-rapl:0", "package-0")
    assert methods(search()) == {"cpu": "rapl.package", "ram": "ram.model"}


def test_a_given_rated_power_needs_the_load_too(search, hide) -> None:
    hide("meminfo")
    detection = search(force_cpu_power_w=5.0)
    assert methods(detection) == {"ram": "ram.model"}
    assert "processor load" in next(r.reason for r in detection.refusals if r.component == "cpu")


def test_a_hidden_size_of_memory_is_a_refusal_and_the_processor_still_counts(search, hide) -> None:
    hide("stat")
    detection = search()
    assert methods(detection) == {"cpu": "cpu.load_tdp"}
    assert detection.host.ram_total_gb is None
    assert "ram" in {refusal.component for refusal in detection.refusals}


def test_loads_that_cannot_be_read_are_unknown(search, hide, tree: RaplTree) -> None:
    hide()
    tree.zone("intel-rapl:0", "package-0")
    gauge = search(force_ram_power_w=1.0).gauge
    gauge.sample()
    loads = gauge.means()
    assert (loads.cpu_percent, loads.ram_percent, loads.ram_used_gb) == (None, None, None)

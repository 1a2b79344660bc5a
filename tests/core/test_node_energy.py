"""The estimate of a whole machine at the wall, beside the sum of its components."""

from __future__ import annotations

import csv
import json
import math
import re
from itertools import product
from pathlib import Path

import pytest
from fit_node_model import FEATURE_SETS, LOADS, fit, leave_one_out, read

from carbon_core import methods, node_energy
from carbon_core.hardware.host import Host
from carbon_core.hardware.host_facts import identity_of, node_facts
from carbon_core.ledger import Ledger
from carbon_core.node_energy import Server, server_w
from carbon_core.outputs import receipt
from carbon_core.outputs.receipt_reading import of_report
from carbon_core.record import replace
from carbon_core.records import Device, HostFacts, Reading, Utilization
from carbon_core.report import Report, RunFacts

XEONS = Server(tdp_w=410.0, memory_gb=384.0, chips=2.0, dimms=12.0, ghz=2.7)
FACTS = {"cpu_tdp_w": "410", "cpu_sockets": "2", "memory_modules": "12", "cpu_rated_ghz": "2.7"}
HOUR_NS = 3_600_000_000_000
CPU = Device("cpu:all", "cpu", "", methods.CPU_LOAD_TDP)
RAPL = Device("cpu:all", "cpu", "", methods.RAPL_INTEL_SERVER)
RAM = Device("ram:all", "ram", "", methods.RAM_MODEL)
GPU = Device("gpu:0", "gpu", "", methods.NVML_ENERGY)


def report(
    *devices: Device,
    facts: dict[str, str] = FACTS,
    load: float | None = 50.0,
    mode: str = "machine",
    pue: float = 1.0,
) -> Report:
    """Return an hour in which each device used 360 kJ, 0.1 kWh."""
    ledger = Ledger(0)
    ledger.add_devices(devices)
    start = ledger.snapshot(0)
    for t_ns, joules in ((0, 0.0), (HOUR_NS, 360_000.0)):
        ledger.update([Reading(device.id, t_ns, joules) for device in devices])
    run = RunFacts(
        "00000000-0000-0000-0000-000000000000", "", "2026-01-01T00:00:00+00:00", "1", "3", "",
        tracking_mode=mode, pue=pue,
    )  # fmt: skip
    return Report(
        run,
        "completed",
        "2026-01-01T01:00:00+00:00",
        ledger.snapshot(HOUR_NS) - start,
        host=HostFacts(ram_total_gb=384.0, facts=facts),
        utilization=Utilization(cpu_percent=load),
    )


def test_a_server_of_two_sockets_has_a_plausible_power() -> None:
    idle, full = (server_w(XEONS, load) for load in (0.0, 1.0))
    assert idle
    assert full
    assert 50.0 < idle[0] < 110.0
    assert 330.0 < full[0] < 560.0
    assert idle[1] > full[1] >= 0.29


AMD = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7742 64-Core Processor\nbogomips\t: 4491.31\n"
XEON = "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz\n"


@pytest.mark.parametrize(
    ("cpuinfo", "ghz"),
    [
        (AMD, "2.25"),
        (XEON + "bogomips\t: 5786.40\n", "2.90"),
        (AMD.replace("4491.31", "0.00"), None),
        (AMD.replace("4491.31", "9" * 400), None),
        # Elsewhere it is another rate: of a timer, or of a loop.
        ("processor\t: 0\nBogoMIPS\t: 2000.00\nCPU implementer\t: 0x41\n", None),
        ("vendor_id       : IBM/S390\nbogomips per cpu: 4038.00\n", None),
        ("", None),
    ],
)
def test_the_rated_clock_is_that_of_the_name_or_of_the_time_stamp_counter(
    cpuinfo: str, ghz: str | None, tmp_path: Path
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    host = Host(tmp_path)
    assert node_facts(host, identity_of(host)).get("cpu_rated_ghz") == ghz


def test_less_known_is_less_certain() -> None:
    sigmas = [
        server_w(replace(XEONS, dimms=dimms, ghz=ghz), 0.5)[1]  # type: ignore[index]
        for dimms, ghz in ((12.0, 2.7), (12.0, None), (None, 2.7), (None, None))
    ]
    assert sigmas == sorted(set(sigmas))


@pytest.mark.parametrize("odd", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["tdp_w", "memory_gb", "chips", "dimms", "ghz"])
def test_bad_input_gives_no_figure_or_one_without_it(name: str, odd: float) -> None:
    found = server_w(replace(XEONS, **{name: odd}), 0.5)
    if name in ("dimms", "ghz"):
        assert found == server_w(replace(XEONS, **{name: None}), 0.5)
    else:
        assert found is None


@pytest.mark.parametrize("load", [math.nan, math.inf])
def test_a_load_that_is_no_number_gives_no_figure(load: float) -> None:
    assert server_w(XEONS, load) is None


def test_small_machines_and_one_module_are_finite() -> None:
    for tdp_w, memory_gb, dimms, load in product((1.0, 6000.0), (0.5, 24e3), (1.0, None), (-1, 2)):
        found = server_w(Server(tdp_w, memory_gb, 1.0, dimms), load)
        assert found is not None
        assert all(0.0 < value < math.inf for value in found)


def test_nothing_metered_is_a_model_of_servers_beside_the_total() -> None:
    one = report(CPU, RAM, pue=1.2)
    found = server_w(XEONS, 0.5)
    assert found is not None
    assert one.energy_kwh.value == pytest.approx(0.24)
    node_kwh = one.node_energy_kwh
    assert node_kwh is not None
    assert node_kwh.value == pytest.approx(1.2 * found[0] / 1000.0)
    assert node_kwh.low < 0.6 * node_kwh.value < 1.7 * node_kwh.value < node_kwh.high
    data = json.loads(json.dumps(receipt.receipt(one)))
    assert data["node_energy_kwh"] == node_kwh.value
    assert data["energy_kwh"]["value"] == pytest.approx(0.24)
    assert "not metered" in data["node_energy_basis"]
    assert of_report(one).node_energy_high_kwh == pytest.approx(node_kwh.high)
    assert "whole node estimated" in one.summary()
    names = re.findall("<th [^>]*>([^<]*)</th>", one._repr_html_() or "")
    assert names[:3] == ["run", "energy", "whole node, estimated"]  # beside the total


def test_with_gpus_it_is_a_factor_of_the_sum() -> None:
    one = report(CPU, RAM, GPU, load=None)
    found = node_energy.of_report(one)
    assert found is not None
    assert found.kwh.value == pytest.approx(1.4 * 0.3)
    assert found.kwh.high / found.kwh.value > one.energy_kwh.high / one.energy_kwh.value
    assert found.basis == node_energy.OF_COMPONENTS


@pytest.mark.parametrize(
    "one",
    [
        report(RAPL, RAM),
        report(RAPL, RAM, GPU),
        report(CPU),
        report(GPU),
        report(CPU, RAM, mode="process"),
        report(CPU, RAM, load=None),
        report(CPU, RAM, load=math.nan),
        report(CPU, RAM, facts={}),
        report(CPU, RAM, facts={**FACTS, "cpu_tdp_w": "0"}),
        report(CPU, RAM, facts={**FACTS, "cpu_tdp_w": "nan"}),
        replace(report(CPU, RAM), counted_elsewhere=True),
        report(CPU, RAM, facts={"cpu_tdp_w": "20", "cpu_sockets": "1"}),
    ],
    ids=["metered", "metered with GPU", "no memory", "one rank's", "job", "no load", "nan load",
         "no facts", "0 W", "nan W", "elsewhere", "less than its components"],
)  # fmt: skip
def test_there_is_none(one: Report) -> None:
    assert one.node_energy_kwh is None
    assert receipt.receipt(one)["node_energy_kwh"] is None
    assert "whole node" not in one.summary() + str(one._repr_html_())


def test_the_tool_recovers_the_model_that_a_table_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    walls = [f"wall_w_{percent}" for percent in LOADS]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["year", "architecture", "chips", "ghz", "tdp_w_all", "memory_gb", "dimms", *walls]
        )
        kinds = enumerate(product((1.0, 2.0), (2.0, 3.5), (90.0, 200.0), (32.0, 256.0), (2.0, 8.0)))
        for i, (chips, ghz, tdp_w, memory_gb, dimms) in kinds:
            server = Server(tdp_w * chips, memory_gb, chips, dimms, ghz)
            watts = [server_w(server, percent / 100)[0] for percent in LOADS]  # type: ignore[index]
            row = [2018, "abc"[i % 3], chips, ghz, tdp_w * chips, memory_gb, dimms, *watts]
            table.writerow(row)
    points = read(path, FEATURE_SETS[0])
    expected = node_energy._FITS[True, True]
    assert fit(points)[:6] == pytest.approx(
        [expected.constant, expected.tdp, expected.memory, expected.chips, expected.dimms,
         expected.ghz]
    )  # fmt: skip
    assert max(abs(error) for _, error in leave_one_out(points)) < 1e-6

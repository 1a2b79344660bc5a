"""Processors by the text of /proc/cpuinfo, against specifications."""

from __future__ import annotations

import csv
import math
import re
import statistics
from pathlib import Path

import pytest

from carbon_core.data import rows
from carbon_core.hardware.cpu_identity import W_PER_THREAD, identify, normalise, sockets_of
from carbon_core.methods import CPU_LOAD_DEFAULT

EXAMPLES = Path(__file__).parents[1] / "data" / "cpu_brand_examples.csv"


def examples() -> list[dict[str, str]]:
    """Read the brand strings that machines report, with what is expected of each."""
    with EXAMPLES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def x86(
    brand: str,
    *,
    ids: tuple[str, str, str, str] = ("GenuineIntel", "6", "0", "0"),
    sockets: int = 1,
    virtual: bool = False,
) -> str:
    """Return the /proc/cpuinfo of a machine with two processors in each socket."""
    vendor, family, model, stepping = ids
    flags = "fpu vme sse2" + (" hypervisor lahf_lm" if virtual else "")
    return "\n".join(
        f"processor\t: {2 * socket + thread}\nvendor_id\t: {vendor}\ncpu family\t: {family}\n"
        f"model\t\t: {model}\nmodel name\t: {brand}\nstepping\t: {stepping}\n"
        f"physical id\t: {socket}\nflags\t\t: {flags}\npower management:\n"
        for socket in range(sockets)
        for thread in range(2)
    )


def arm(*cores: tuple[str, str], count: int = 1) -> str:
    """Return the /proc/cpuinfo of an Arm machine, which has no model name."""
    return "\n".join(
        f"processor\t: {n}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: 0x3\n"
        f"CPU part\t: {part}\nCPU revision\t: 1\n"
        for n, (implementer, part) in enumerate(cores * count)
    )


@pytest.mark.parametrize("example", examples(), ids=lambda example: example["brand"])
def test_names_that_machines_report(example: dict[str, str]) -> None:
    ids = (example["vendor_id"], example["family"], example["model"], example["stepping"])
    # One socket's worth of processors, so that the Arm rows give the whole chip.
    threads = {"Neoverse-N1": 64, "Neoverse-N2": 128, "Neoverse-V2": 96}
    found = identify(x86(example["brand"], ids=ids), logical_cpus=threads.get(example["brand"], 8))
    assert normalise(example["brand"]) == example["normalised_key"]
    assert found.match == example["match"]
    assert found.model_name == example["brand"]
    if example["expected_tdp_w"]:
        assert found.tdp_w == float(example["expected_tdp_w"])
    else:
        assert found.tdp_w == pytest.approx(8 * W_PER_THREAD)


@pytest.mark.parametrize(
    ("brand", "key"),
    [
        ("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", "intel xeon e5-2670"),
        ("Intel(R) Xeon(R) CPU E7- 4870  @ 2.40GHz", "intel xeon e7-4870"),
        ("Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz", "intel xeon x5650"),
        ("Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz", "intel core 2 duo e8400"),
        ("Intel(R) Core(TM) i7 CPU         920  @ 2.67GHz", "intel core i7-920"),
        ("Intel® Core™ i9-14900K", "intel core i9-14900k"),
        ("AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", "amd ryzen 7 7840hs"),
        ("AMD Ryzen 5 3500U with Radeon Vega Mobile Gfx", "amd ryzen 5 3500u"),
        ("AMD A10-7850K Radeon R7, 12 Compute Cores 4C+8G", "amd a10-7850k"),
        ("AMD Athlon(tm) 64 X2 Dual Core Processor 3800+", "amd athlon 64 x2 3800+"),
        ("Dual-Core AMD Opteron(tm) Processor 2218", "amd opteron 2218"),
    ],
)
def test_normalised_names_are_in_the_table(brand: str, key: str) -> None:
    assert normalise(brand) == key
    assert identify(x86(brand), logical_cpus=4).match == "exact"


def test_one_digit_off_is_not_a_match() -> None:
    found = identify(x86("AMD EPYC 7764 64-Core Processor"), logical_cpus=4)
    assert found.match == "per thread"


@pytest.mark.parametrize("sockets", [1, 2])
def test_the_number_of_sockets(sockets: int) -> None:
    assert sockets_of(x86("Intel(R) Xeon(R) Gold 6126", sockets=sockets)) == sockets
    assert sockets_of("") == 1


def test_sockets_count_on_bare_metal() -> None:
    brand = "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"
    found = identify(x86(brand, sockets=2), logical_cpus=64)
    assert (found.model_name, found.vendor, found.match) == (brand, "intel", "exact")
    assert found.tdp_w == 250.0
    assert "2 sockets" in found.note


@pytest.mark.parametrize(
    ("brand", "logical_cpus", "tdp_w"),
    [
        ("AMD EPYC 7763 64-Core Processor", 16, 280 * 16 / 128),
        ("AMD EPYC 7R13 Processor", 192, 450.0),  # a guest of the size of two sockets
        ("Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", 8, 125 * 8 / 32),  # cores only in the table
        ("AMD Ryzen 7 3700X 8-Core Processor", 4, 65 * 4 / 16),
        ("Intel(R) Core(TM) i7-8565U CPU @ 1.80GHz", 8, 15.0),  # WSL2 sees all four cores twice
        ("Intel(R) Core(TM) i9-14900K", 32, 125.0),  # neither cores nor threads in the table
    ],
)
def test_virtual_machine_has_its_share_of_a_socket(
    brand: str, logical_cpus: int, tdp_w: float
) -> None:
    # Guests often report one socket for each processor: those are not counted.
    found = identify(x86(brand, sockets=4, virtual=True), logical_cpus=logical_cpus)
    assert found.match == "exact"
    assert found.tdp_w == pytest.approx(tdp_w)


def test_server_part_of_unknown_threads_takes_those_of_its_family() -> None:
    brand = "Intel(R) Xeon(R) Gold 6231 CPU @ 3.20GHz"
    cascade_lake = ("GenuineIntel", "6", "85", "7")
    found = identify(x86(brand, ids=cascade_lake, virtual=True), logical_cpus=12)
    assert found.match == "exact"
    assert found.tdp_w == pytest.approx(185 * 12 / 48)
    unknown = identify(x86(brand, virtual=True), logical_cpus=12)
    assert unknown.tdp_w == pytest.approx(12 * W_PER_THREAD)
    assert identify(x86(brand, virtual=True), logical_cpus=400).tdp_w == 185.0


def test_masked_name_goes_by_family_and_stepping() -> None:
    brand = "Intel(R) Xeon(R) CPU @ 2.20GHz"
    skylake = identify(x86(brand, ids=("GenuineIntel", "6", "85", "3")), logical_cpus=2)
    cascade_lake = identify(
        x86(brand, ids=("GenuineIntel", "6", "85", "7"), virtual=True), logical_cpus=4
    )
    assert (skylake.tdp_w, skylake.match) == (165.0, "family")
    assert cascade_lake.tdp_w == pytest.approx(205 * 4 / 48)
    assert "Cascade Lake" in cascade_lake.note
    # No row has stepping 8, and a neighbour is not taken for it.
    gap = identify(x86(brand, ids=("GenuineIntel", "6", "85", "8")), logical_cpus=4)
    assert gap.match == "per thread"


def test_masked_epyc_guest() -> None:
    text = x86("AMD EPYC", ids=("AuthenticAMD", "25", "17", "1"), virtual=True)
    found = identify(text, logical_cpus=2)
    assert (found.vendor, found.match) == ("amd", "family")
    assert found.tdp_w == pytest.approx(360 * 2 / 192)


@pytest.mark.parametrize(
    ("brand", "sku"),
    [
        ("Intel Xeon Processor (Cascadelake)", "Platinum 8268"),
        ("Intel Xeon E312xx (Sandy Bridge, IBRS update)", "E5-2670"),
        ("Intel Core Processor (Skylake, IBRS)", "Platinum 8173M"),
        ("Intel Xeon Processor (SapphireRapids)", "Platinum 8480+"),
        ("AMD EPYC-Rome Processor", "EPYC 7742"),
        ("AMD EPYC-Milan Processor", "EPYC 7763"),
    ],
)
def test_word_of_the_emulator_beats_the_ids(brand: str, sku: str) -> None:
    haswell_client = ("GenuineIntel", "6", "60", "1")
    found = identify(x86(brand, ids=haswell_client, virtual=True), logical_cpus=4)
    assert found.match == "family"
    assert sku in found.note


@pytest.mark.parametrize(
    "brand", ["AMD EPYC Processor (with IBPB)", "QEMU Virtual CPU version 2.5+"]
)
def test_words_that_name_no_processor_leave_the_ids(brand: str) -> None:
    found = identify(x86(brand, ids=("AuthenticAMD", "23", "1", "2"), virtual=True), logical_cpus=8)
    assert found.match == "family"
    assert found.tdp_w == pytest.approx(180 * 8 / 64)


@pytest.mark.parametrize(
    ("core", "sys_vendor", "logical_cpus", "tdp_w", "name"),
    [
        (("0x41", "0xd0c"), "Amazon EC2", 16, 150 * 16 / 64, "Neoverse-N1"),
        (("0x41", "0xd40"), "Amazon EC2", 64, 220.0, "Neoverse-V1"),
        (("0x41", "0xd4f"), "Amazon EC2", 8, 300 * 8 / 96, "Neoverse-V2"),
        (("0x41", "0xd4f"), "Google", 72, 200.0, "Neoverse-V2"),
        (("0x41", "0xd4f"), "NVIDIA", 144, 500.0, "Neoverse-V2"),  # two sockets
        (("0x41", "0xd4f"), "", 96, 300.0, "Neoverse-V2"),
        (("0x41", "0xd08"), "Amazon EC2", 16, 95.0, "Cortex-A72"),
        (("0x41", "0xd08"), "", 4, 6.0, "Cortex-A72"),
        (("0x41", "0xd0b"), "", 4, 12.0, "Cortex-A76"),
    ],
)
def test_arm_goes_by_part_and_maker(
    core: tuple[str, str], sys_vendor: str, logical_cpus: int, tdp_w: float, name: str
) -> None:
    found = identify(arm(core, count=2), sys_vendor=sys_vendor, logical_cpus=logical_cpus)
    assert (found.vendor, found.match, found.model_name) == ("arm", "arm part", name)
    assert found.tdp_w == pytest.approx(tdp_w)
    assert "estimated" in found.note


def test_cores_of_two_kinds_are_one_chip() -> None:
    small, large = ("0x41", "0xd03"), ("0x41", "0xd08")
    found = identify(arm(*[small] * 4, *[large] * 2), logical_cpus=6)
    assert (found.model_name, found.tdp_w) == ("Cortex-A72", 6.0)


def test_known_arm_core_of_unknown_power() -> None:
    found = identify(arm(("0x41", "0xd84")), sys_vendor="Amazon EC2", logical_cpus=4)
    assert (found.model_name, found.match) == ("Neoverse-V3", "per thread")
    assert found.tdp_w == pytest.approx(4 * W_PER_THREAD)


@pytest.mark.parametrize("text", ["", "\n\n", "processor : 0\nBogoMIPS : 50\n", "no colon at all"])
def test_text_that_names_nothing(text: str) -> None:
    found = identify(text, logical_cpus=160)
    assert (found.model_name, found.vendor, found.match) == (None, "", "per thread")
    assert found.tdp_w == pytest.approx(160 * W_PER_THREAD)
    assert "4.5 W per thread" in found.note


POWER = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\n"
MIPS = "system type\t\t: MT7621 ver:1\nprocessor\t\t: 0\ncpu model\t\t: MIPS 1004Kc V2.15\n"
OLD_ARM = (
    "Processor\t: ARMv6-compatible processor rev 7 (v6l)\nBogoMIPS\t: 697.95\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xb76\n\nHardware\t: BCM2708\n"
)
RISC_V = "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc_zba_zbb\nmmu\t\t: sv39\n"
S390X = "vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 24038.00\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(POWER, "POWER9", id="POWER"),
        pytest.param("cpu : UltraSparc T5 (Niagara5)\n", "UltraSparc T5 (Niagara5)", id="SPARC"),
        pytest.param(MIPS, "MIPS 1004Kc V2.15", id="MIPS"),
        pytest.param("system type : Loongson-2E\nprocessor : 0\n", "Loongson-2E", id="a board"),
        pytest.param(OLD_ARM, "ARMv6-compatible processor rev 7 (v6l)", id="ARMv6"),
        pytest.param(arm(("0x46", "0x002")), "Arm core 0x002 of implementer 0x46", id="Arm core"),
        pytest.param(f"{RISC_V}uarch\t\t: sifive,u74-mc\n", "sifive,u74-mc", id="RISC-V"),
        pytest.param(RISC_V, "RISC-V rv64imafdc", id="RISC-V without a core"),
        pytest.param(
            f"{S390X}processor 0: version = FF,  identification = 0E5BC7,  machine = 8561\n",
            "IBM z15 (8561)",
            id="s390x",
        ),
        pytest.param(f"{S390X}cpu number : 0\nmachine : 4711\n", "IBM Z (4711)", id="new s390x"),
        pytest.param(S390X, "IBM Z", id="s390x without a machine"),
    ],
)
def test_names_on_other_architectures(text: str, name: str) -> None:
    found = identify(text, logical_cpus=8)
    assert (found.model_name, found.match) == (name, "per thread")
    assert found.tdp_w == pytest.approx(8 * W_PER_THREAD)


@pytest.mark.parametrize(
    ("brand", "sockets", "logical_cpus", "tdp_w"),
    [
        # Each virtual processor is a socket, and the flag of a hypervisor is hidden.
        ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", 16, 16, 205 * 16 / 48),
        ("AMD EPYC 7763 64-Core Processor", 8, 16, 280 * 16 / 128),
        ("AMD EPYC 7763 64-Core Processor", 2, 16, 280 * 16 / 128),
        ("Intel(R) Core(TM) i7-8565U CPU @ 1.80GHz", 8, 8, 15.0),  # a part for one socket
        ("Intel(R) Core(TM) i9-14900K", 32, 32, 125.0),
        # Real sockets, without and with two threads a core.
        ("Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", 2, 32, 250.0),
        ("AMD EPYC 7763 64-Core Processor", 2, 256, 560.0),
        ("Intel(R) Xeon(R) CPU X5272 @ 3.40GHz", 2, 4, 160.0),
    ],
)
def test_sockets_that_are_too_small_are_not_real(
    brand: str, sockets: int, logical_cpus: int, tdp_w: float
) -> None:
    found = identify(x86(brand, sockets=sockets), logical_cpus=logical_cpus)
    assert found.match == "exact"
    assert found.tdp_w == pytest.approx(tdp_w)


def test_small_sockets_of_a_part_with_unknown_threads() -> None:
    found = identify(x86("Intel(R) Xeon(R) Gold 6231 CPU @ 3.20GHz", sockets=16), logical_cpus=16)
    assert found.tdp_w == pytest.approx(16 * W_PER_THREAD)
    assert "16 sockets that are not real" in found.note


def test_small_sockets_of_a_masked_part() -> None:
    brand = "Intel(R) Xeon(R) CPU @ 2.20GHz"
    text = x86(brand, ids=("GenuineIntel", "6", "85", "7"), sockets=16)
    found = identify(text, logical_cpus=16)
    assert (found.match, found.tdp_w) == ("family", pytest.approx(205 * 16 / 48))


@pytest.mark.parametrize(
    ("suffix", "most_w"),
    [("t", 45), ("te", 45), ("u", 15), ("ue", 15), ("ul", 15), ("p", 28), ("h", 45), ("k", 125)],
)
def test_the_table_has_base_power_not_turbo_power(suffix: str, most_w: float) -> None:
    parts = re.compile(rf"intel core i[3579]-1[234]\d+{suffix}f?")
    rated = {
        row["key"]: float(row["tdp_w"]) for row in rows("cpu_tdp") if parts.fullmatch(row["key"])
    }
    assert rated
    assert {key: watts for key, watts in rated.items() if watts > most_w} == {}


def test_default_is_the_median_of_the_server_processors() -> None:
    server = re.compile("xeon|epyc|opteron|altra")
    ratios = [
        float(row["tdp_w"]) / (int(row["threads"] or 0) or 2 * int(row["cores"]))
        for row in rows("cpu_tdp")
        if row["cores"] and server.search(row["key"])
    ]
    assert statistics.median(ratios) == pytest.approx(W_PER_THREAD, rel=0.02)
    # The deviation that methods.CPU_LOAD_DEFAULT has, besides that of the load model.
    spread = math.sqrt(statistics.fmean(math.log(ratio / W_PER_THREAD) ** 2 for ratio in ratios))
    assert math.hypot(spread, 0.26) == pytest.approx(CPU_LOAD_DEFAULT.sigma_ln, rel=0.2)


def test_keys_of_the_table_are_normalised_and_unmasked() -> None:
    keys = [row["key"] for row in rows("cpu_tdp")]
    assert len(keys) == len(set(keys)) == 5482
    assert all(any(c.isdigit() for c in key) for key in keys)
    assert all(float(row["tdp_w"]) > 0 for row in rows("cpu_tdp"))


def test_the_word_hypervisor_counts_only_as_a_flag() -> None:
    text = x86("AMD EPYC 7763 64-Core Processor") + "bugs\t\t: hypervisor_leak\n"
    assert identify(text, logical_cpus=16).tdp_w == 280.0

"""Where the truth comes from: the scatter of real meters, processors and grids, as published.

None of these figures is a constant of the package. Where nothing is published, the docstring says that
the figure is an assumption, made before the package's intervals were compared with it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

_MEASURED = Path(__file__).parents[1] / "core" / "data"

# Steady-state error against an external meter in percent (Yang et al., SC'24, arXiv 2312.02741; computed
# from the published measurements), of 17 cards; a K620 (-41 %) is left out.
NVML_CARDS = (
    ("NVIDIA GeForce RTX 4090", -4.3), ("NVIDIA GeForce RTX 3090", -4.0),
    ("NVIDIA GeForce RTX 3090", -0.1), ("NVIDIA GeForce RTX 3090", -1.8),
    ("NVIDIA GeForce RTX 3070 Ti", -2.3), ("NVIDIA GeForce RTX 2080 Ti", -6.2),
    ("NVIDIA GeForce RTX 2060 SUPER", 10.9), ("NVIDIA GeForce GTX 1080 Ti", -0.3),
    ("NVIDIA GeForce GTX 1080", 0.5), ("Tesla P100-PCIE-16GB", 0.5),
    ("NVIDIA A100-PCIE-40GB", -5.5), ("NVIDIA RTX A5000", -4.9), ("Tesla K80", -8.9),
    ("Tesla K40m", 3.4), ("NVIDIA TITAN X (Pascal)", 1.9), ("Tesla M40", -1.6),
    ("NVIDIA TITAN Xp", 0.7),
)  # fmt: skip
# The three 3090 of that table differ among each other by so much (standard deviation).
NVML_UNIT_SD = 0.02
# METRION: mean absolute errors of 4.2 % (processor) and 16.1 % (memory). Of a normal distribution, the
# standard deviation is sqrt(pi / 2) times that.
RAPL_XEON_SD = 0.042 * math.sqrt(math.pi / 2)
RAPL_DRAM_SD = 0.161 * math.sqrt(math.pi / 2)
# Rated power (W) and idle power (W) of boards, from data sheets and nvidia-smi at rest.
GPU_BOARDS = (
    (700.0, 70.0),
    (400.0, 52.0),
    (300.0, 40.0),
    (450.0, 20.0),
    (350.0, 25.0),
    (70.0, 10.0),
)


class Spread(NamedTuple):
    """Hourly intensity of a zone in a year: its mean, and how far shorter means lie from it.

    Attributes:
        zone: Zone key.
        year: The year.
        mean_g: Mean of the year in g/kWh.
        low_carbon: Share of low-carbon electricity (0 to 1).
        rms_1h: Root mean square of ln(mean of an hour / mean of the year); likewise the others.
    """

    zone: str
    year: int
    mean_g: float
    low_carbon: float
    rms_1h: float
    rms_24h: float
    rms_7d: float
    rms_30d: float


class Curve(NamedTuple):
    """A processor whose package power was measured at several loads.

    Attributes:
        name: Its product name.
        tdp_w: Rated power of all sockets.
        threads: Threads of all sockets.
        points: Load (0 to 1) and watts, ascending.
        ram: Load and watts of the memory; empty if it was not measured.
        ram_gb: Size of the memory.
        saves_power: Whether it has a power-saving governor.
    """

    name: str
    tdp_w: float
    threads: int
    points: tuple[tuple[float, float], ...]
    ram: tuple[tuple[float, float], ...] = ()
    ram_gb: float = 0.0
    saves_power: bool = False


def nvml_model(rng: Random) -> tuple[str, float]:
    """Return the name of a board model and its gain (reported / true), one of the published ones."""
    name, percent = rng.choice(NVML_CARDS)
    return name, 1.0 + percent / 100.0


def gain_of_nvml_model(rng: Random) -> float:
    """Return a published gain, for a board of another name."""
    return nvml_model(rng)[1]


def gains_of_boards(rng: Random, count: int) -> list[float]:
    """Return the gains of several boards of one model: its error, and each board's own."""
    model = gain_of_nvml_model(rng)
    return [model * normal_gain(rng, NVML_UNIT_SD) for _ in range(count)]


def normal_gain(rng: Random, sd: float) -> float:
    """Return a gain with a normal relative error."""
    return math.exp(rng.gauss(0.0, sd))


def uniform_gain(rng: Random, reach: float) -> float:
    """Return a gain within 1 ± reach, each value as likely: for sensors with a tolerance only."""
    return rng.uniform(1.0 - reach, 1.0 + reach)


def interpolated(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value at x of a line through points, constant beyond its ends."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 if x <= x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


_THREADS = {"AMD EPYC 8024P": 16, "AMD Ryzen Threadripper": 32, "Intel(R) Xeon(R) CPU E3-1240": 8}


def measured_processors() -> list[Curve]:
    """Return the measured machines of the fits' data; each load profile is a curve of its own."""
    return [*_profiles(), *cloud_machines()]


def cloud_machines() -> list[Curve]:
    """Return whole machines of AWS: package and memory power at four loads (Teads, 2021-23)."""
    return [_cloud(row) for row in _rows(_MEASURED / "cloud_cpu_power.csv")]


def spreads() -> list[Spread]:
    """Return how hourly intensities differ from their year's mean, by zone and year."""
    return [
        Spread(
            row["zone_key"], int(row["year"]), *(float(value) for value in list(row.values())[2:])
        )
        for row in _rows(_MEASURED / "intensity_spread.csv")
    ]


def _profiles() -> list[Curve]:
    table = _rows(_MEASURED / "cpu_load_power.csv")
    keys = dict.fromkeys((row["cpu"], row["load_kind"]) for row in table)
    found = []
    for cpu, kind in keys:
        rows = [row for row in table if (row["cpu"], row["load_kind"]) == (cpu, kind)]
        tdp_w = sum(float(rows[0][name]) for name in rows[0] if name.startswith("tdp_w"))
        points = sorted((float(row["load_pct"]) / 100.0, float(row["package_w"])) for row in rows)
        threads = next(count for name, count in _THREADS.items() if cpu.startswith(name))
        saves_power = rows[0]["governor"] == "saving"
        found.append(Curve(cpu, tdp_w, threads, tuple(points), saves_power=saves_power))
    return found


def _cloud(row: dict[str, str]) -> Curve:
    at = ("0", "10", "50", "100")
    package = tuple((int(x) / 100.0, float(row[f"package_w_{x}"])) for x in at)
    memory = tuple((int(x) / 100.0, float(row[f"ram_w_{x}"])) for x in at)
    tdp_w = float(row["tdp_w_per_socket"]) * int(row["sockets"])
    size_gb = float(row["memory_gb"])
    return Curve(f"Intel {row['cpu']}", tdp_w, int(row["threads"]), package, memory, size_gb)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

"""How a joule can become known, and how well.

Each method has a grade from A (hardware counter) to E (a guess by table) and a relative standard
uncertainty. The uncertainty is the standard deviation of the logarithm, so that 0.05 reads as 5 %
and ln 2 as "times or divided by 2". The figures and their sources are explained in
docs/uncertainty.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One way of knowing energy.

    Attributes:
        name: Stable identifier that results carry, such as ``nvml.energy``.
        grade: A (counter), B (model-based counter or sampled sensor), C, D (load model), E (constant).
        sigma_ln: One standard deviation of ln(reported / true), systematic over a run.
        edge_s: Random uncertainty of a window's ends, in seconds of the window's mean power.
        summary: The method in a few words, for people.
    """

    name: str
    grade: str
    sigma_ln: float
    summary: str
    edge_s: float = 0.0

    def __str__(self) -> str:
        return self.name


# Khan et al. 2018 and Hackenberg et al. 2015: integrated regulators are metered since Haswell-EP.
RAPL_INTEL_SERVER = Method("rapl.package", "A", 0.04, "RAPL energy counter")
# Desrochers et al. 2016: modelled rather than metered domains on client parts.
RAPL_INTEL_CLIENT = Method("rapl.package", "B", 0.08, "RAPL energy counter (client part)")
# Schöne et al. 2021: the counter of AMD Zen is an event model that depends on the workload.
RAPL_AMD = Method("rapl.package", "B", 0.10, "RAPL energy counter (AMD, model based)")
RAPL_DRAM = Method("rapl.dram", "B", 0.15, "RAPL DRAM energy counter")
# The cores' plane leaves out caches, memory controller and graphics, which are part of a package
# (kernel, powercap/intel_rapl): always too low, by a quarter or so. An assumption, not a measurement.
RAPL_CORE = Method("rapl.core", "C", 0.30, "RAPL core counter: package not metered")
# Yang et al., SC'24: gain errors of 19 cards against an external meter, rms 4.3 to 4.8 %; the
# counter advances about every 100 ms, which leaves some 0.08 s of power open at a window's ends.
NVML_ENERGY = Method("nvml.energy", "A", 0.05, "NVML energy counter", edge_s=0.08)
# The mean of the last second follows a change half a second late, which matters at a window's ends.
NVML_POWER_AVERAGE = Method(
    "nvml.power.average", "B", 0.055, "NVML power, averaged by the driver", edge_s=0.5
)
# GA100's reading covers 25 of every 100 ms; the part unseen adds some 6 % to the gain's 5 %.
NVML_POWER_SAMPLED = Method(
    "nvml.power.sampled", "B", 0.08, "NVML power, a quarter of the time", edge_s=0.1
)
NVML_POWER = Method("nvml.power", "B", 0.055, "NVML power, polled and integrated", edge_s=0.1)
# Nobody has published a comparison with a meter: assumptions, wider than NVML's.
AMDSMI_ENERGY = Method("amdsmi.energy", "B", 0.08, "AMD SMI energy counter", edge_s=0.1)
AMDSMI_POWER = Method(
    "amdsmi.power", "B", 0.085, "AMD SMI power, polled and integrated", edge_s=0.1
)
HWMON_ENERGY = Method("hwmon.energy", "B", 0.08, "energy sensor of the board (hwmon)")
HWMON_POWER = Method("hwmon.power", "B", 0.085, "power sensor of the board (hwmon)", edge_s=0.1)
# A model of the maker's that reads low: parts of the draw at the plug belong to no part of the chip.
APPLE = Method("apple.energy", "C", 0.20, "Apple's energy model of the chip")
GPU_LIMIT_UTILIZATION = Method("gpu.limit_utilization", "D", 0.30, "GPU power limit x utilisation")
# The load model on processors it was not fitted on has a log rms of 0.49 (tools/fit_load_model.py);
# a wider collection of RAPL profiles (96 points, four processors) has 0.44. The larger counts.
CPU_LOAD_TDP = Method("cpu.load_tdp", "D", math.log(1.65), "CPU load x TDP")
CPU_LOAD_DEFAULT = Method("cpu.load_default", "E", math.log(2.0), "CPU load x typical power")
RAM_MODEL = Method("ram.model", "E", math.log(2.0), "RAM power by size")
FORCED_POWER = Method("forced", "D", 0.30, "power given in the settings")
EXTRAPOLATED = Method("extrapolated", "E", math.log(2.0), "carried over from neighbouring power")

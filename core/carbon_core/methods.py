"""Measurement methods with their grades and uncertainties.

Each method has a grade from A (hardware counter) to E (fixed value) and a relative standard
uncertainty: the standard deviation of the logarithm, so that 0.05 means 5 % and ln 2 "within a factor
of 2". docs/uncertainty.md explains the values and their sources.
"""

from __future__ import annotations

import math

from carbon_core.limits import NotNegative, SigmaLn
from carbon_core.record import record, replace

# What the grades mean, as text for a result; two methods have their own.
GRADES = {
    "A": "measured by counters",
    "B": "measured by counters or sensors",
    "C": "measured in part",
    "D": "estimated from load",
    "E": "estimated from typical values",
}


@record(frozen=True)
class Calibration:
    """The comparison of a device's meter with a better one, such as a wall meter.

    Attributes:
        gain: True energy divided by reported energy.
        sigma_ln: One standard deviation of ln(gain).
        source: What it was compared with, in the user's words.
    """

    gain: NotNegative
    sigma_ln: SigmaLn
    source: str = ""


@record(frozen=True)
class Method:
    """A method of measuring or estimating energy.

    Attributes:
        name: Stable identifier in results, such as ``nvml.energy``.
        grade: A (counter), B (modelled counter or sampled sensor), C, D (load model), E (fixed value).
        sigma_ln: One standard deviation of ln(reported / true), systematic over a run.
        edge_s: Random uncertainty of a window's ends, in seconds of the window's mean power.
        summary: Short description for messages.
        calibration: The user's calibration, which the joules include; its uncertainty is that of the
            method. None for one that was not calibrated.
    """

    name: str
    grade: str
    sigma_ln: SigmaLn
    summary: str
    edge_s: NotNegative = 0.0
    calibration: Calibration | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def meaning(self) -> str:
        """How an energy became known by this method, as text for a result."""
        return _MEANINGS.get(self.name) or GRADES.get(self.grade, "estimated")

    def calibrated(self, calibration: Calibration) -> Method:
        """Return the method of a device that the user has calibrated."""
        source = f" ({calibration.source})" if calibration.source else ""
        return replace(
            self,
            name=f"{self.name}.calibrated",
            sigma_ln=calibration.sigma_ln,
            summary=f"{self.summary}, calibrated{source}",
            calibration=calibration,
        )

    def unpublished(self) -> Method:
        """Return the method of a board whose sensor was not compared with an external meter."""
        return replace(self, sigma_ln=math.hypot(self.sigma_ln, _UNPUBLISHED_SIGMA_LN))


# A sensor that was never compared with a meter may be worse than those that were: 6 % instead of 5 %.
_UNPUBLISHED_SIGMA_LN = math.sqrt(0.06**2 - 0.05**2)
# Khan et al. 2018 and Hackenberg et al. 2015: metered at the integrated regulator since Haswell-EP.
RAPL_INTEL_SERVER = Method("rapl.package", "A", 0.04, "RAPL energy counter")
# Desrochers et al. 2016: modelled rather than metered domains on client parts.
RAPL_INTEL_CLIENT = Method("rapl.package", "B", 0.08, "RAPL energy counter (client part)")
# Schöne et al. 2021: the counter of AMD Zen is an event model that depends on the workload.
RAPL_AMD = Method("rapl.package", "B", 0.10, "RAPL energy counter (AMD, model based)")
# Desrochers et al. 2016. A mean error of 16.1 % (METRION) is a standard deviation of 0.20.
RAPL_DRAM = Method("rapl.dram", "B", 0.20, "RAPL DRAM energy counter")
# The core plane excludes caches, memory controller and graphics, which are part of a package (kernel,
# powercap/intel_rapl): always too low, by about a quarter. An assumption, not a measurement.
RAPL_CORE = Method("rapl.core", "C", 0.30, "RAPL core counter: package not metered")
# Yang et al., SC'24: gain errors of 19 cards against an external meter, rms 4.3 to 4.8 %; the
# counter is updated about every 100 ms, an uncertainty of 0.08 s of power at a window's ends.
NVML_ENERGY = Method("nvml.energy", "A", 0.05, "NVML energy counter", edge_s=0.08)
# The mean of the last second is half a second late, which adds to the uncertainty of a window's ends.
NVML_POWER_AVERAGE = Method(
    "nvml.power.average", "B", 0.055, "NVML power, averaged by the driver", edge_s=0.5
)
# GA100 samples 25 of every 100 ms; the time in between adds about 6 % to the 5 % of the gain.
NVML_POWER_SAMPLED = Method(
    "nvml.power.sampled", "B", 0.08, "NVML power, a quarter of the time", edge_s=0.1
)
NVML_POWER = Method("nvml.power", "B", 0.055, "NVML power, polled and integrated", edge_s=0.1)
NVML_ENERGY_UNPUBLISHED = NVML_ENERGY.unpublished()
NVML_POWER_UNPUBLISHED = NVML_POWER.unpublished()
NVML_POWER_AVERAGE_UNPUBLISHED = NVML_POWER_AVERAGE.unpublished()
NVML_POWER_SAMPLED_UNPUBLISHED = NVML_POWER_SAMPLED.unpublished()
# Of NVML's methods, those for boards that were not compared.
UNPUBLISHED = {
    NVML_ENERGY: NVML_ENERGY_UNPUBLISHED,
    NVML_POWER: NVML_POWER_UNPUBLISHED,
    NVML_POWER_AVERAGE: NVML_POWER_AVERAGE_UNPUBLISHED,
    NVML_POWER_SAMPLED: NVML_POWER_SAMPLED_UNPUBLISHED,
}
# No comparison with an external meter is published: assumptions, wider than NVML's.
AMDSMI_ENERGY = Method("amdsmi.energy", "B", 0.08, "AMD SMI energy counter", edge_s=0.1)
AMDSMI_POWER = Method(
    "amdsmi.power", "B", 0.085, "AMD SMI power, polled and integrated", edge_s=0.1
)
HWMON_ENERGY = Method("hwmon.energy", "B", 0.08, "energy sensor of the board (hwmon)")
HWMON_POWER = Method("hwmon.power", "B", 0.085, "power sensor of the board (hwmon)", edge_s=0.1)
HWMON_SOCKET = Method(
    "hwmon.power.socket", "B", 0.085, "power sensor of processor and memory (hwmon)", edge_s=0.1
)
# Apple's model reads low: it does not cover all power drawn at the plug.
APPLE = Method("apple.energy", "C", 0.20, "Apple's energy model of the chip")
# TDP-based estimates err by 27 to 37 %; 0.15 more for the idle share, which differs between boards by a
# factor of about two, at a utilisation of 20 %.
GPU_LIMIT_UTILIZATION = Method("gpu.limit_utilization", "D", 0.35, "GPU power limit x utilisation")
# On a machine that it was not fitted on, the load model has a log rms of 0.26 (tools/fit_load_model.py).
CPU_LOAD_TDP = Method("cpu.load_tdp", "D", 0.30, "CPU load x TDP")
# Under a power-saving governor, the clock depends on which processors are busy: 0.49 on the one machine.
CPU_LOAD_SAVING = Method("cpu.load_tdp", "D", 0.50, "CPU load x TDP, power-saving governor")
# The same, and 0.54 for the watts by thread of server processors around their median.
CPU_LOAD_DEFAULT = Method("cpu.load_default", "E", 0.60, "CPU load x typical power")
# The memory model has a log rms of 0.31 on five servers whose modules are unknown (docs/uncertainty.md);
# desktops and virtual machines are not among them.
RAM_MODEL = Method("ram.model", "E", 0.37, "RAM power by modules, size and load")
FORCED_POWER = Method("forced", "D", 0.30, "power given in the settings")
# Of these, the energy of a processor includes that of its memory.
WITH_MEMORY = (HWMON_SOCKET,)
EXTRAPOLATED = Method("extrapolated", "E", math.log(2.0), "extrapolated from neighbouring power")
_MEANINGS = {EXTRAPOLATED.name: "extrapolated", FORCED_POWER.name: "from the power that is set"}

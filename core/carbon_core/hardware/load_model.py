"""Power of a processor from its load and rated power, where no counter can be read."""

from __future__ import annotations

import math
from pathlib import Path

from carbon_core.system_files import matches, text_in

# Fitted by tools/fit_load_model.py to the package power of seven machines (tests/core/data): each is
# weighted equally, whatever its number of points.
IDLE_SHARE = 0.118
DYNAMIC_SHARE = 0.85
EXPONENT = 0.58
# Of a machine whose clock follows the load. Not fitted: there is one such machine.
SAVING_EXPONENT = 1.0

# acpi-cpufreq, and intel_pstate without hardware P-states: the clock rises with the load.
_SAVING_GOVERNORS = frozenset({"powersave", "conservative"})
# Where the hardware selects the clock, "powersave" is the name of the normal governor, and the
# preference is the setting.
_SAVING_PREFERENCES = frozenset({"power", "balance_power"})


def cpu_power_w(tdp_w: float, load: float, *, saves_power: bool = False) -> float:
    """Return the mean power of the processors at a mean load.

    The model is TDP x (0.118 + 0.85 x load^0.58): the first busy cores raise the clock and activate
    caches and fabric. On a machine that saves power, the clock follows the load and the exponent is 1.
    docs/uncertainty.md has the errors on machines that it was not fitted on.

    Args:
        tdp_w: Rated power of what the operating system can see, in watts.
        load: Mean busy share of processor time; clipped to 0 to 1, and 0 if it is not a number.
        saves_power: Whether the machine has a power-saving governor (`saves_power`).

    Returns:
        Mean power in watts, between 12 and 97 % of the rated power; 0 for an invalid rated power.
    """
    if not 0.0 < tdp_w < math.inf:
        return 0.0
    bounded = min(1.0, load) if load > 0.0 else 0.0
    exponent = SAVING_EXPONENT if saves_power else EXPONENT
    return tdp_w * (IDLE_SHARE + DYNAMIC_SHARE * math.pow(bounded, exponent))


def saves_power(root: Path) -> bool:
    """Return whether the clock of the first processor follows the load; False where that is unknown.

    Args:
        root: Directory that holds ``sys``.
    """
    cpus = root / "sys/devices/system/cpu"
    for directory in (cpus / "cpu0/cpufreq", *matches(cpus, "cpufreq/policy*")):
        governor = (text_in(directory / "scaling_governor") or "").strip()
        preference = (text_in(directory / "energy_performance_preference") or "").strip()
        if preference and governor != "performance":
            return preference in _SAVING_PREFERENCES
        if governor:
            return governor in _SAVING_GOVERNORS
    return False

"""Power of a processor from its load and rated power, where no counter can be read."""

from __future__ import annotations

# Assumed: hardly any idle processor draws less. The measured idle package power cannot be fitted: two of
# the three processors report less than a watt up to 5 % load.
IDLE_SHARE = 0.1
# Fitted by tools/fit_load_model.py to 76 measurements of RAPL package power on three processors
# (open profiling data, 2025-01; tests/core/data/cpu_load_power.csv).
DYNAMIC_SHARE = 0.82


def cpu_power_w(tdp_w: float, load: float) -> float:
    """Return the mean power of the processors at a mean load.

    The model is TDP x (0.1 + 0.82 x load), with one fitted parameter, because three processors allow no
    more. Tested on each processor after a fit on the other two, the logarithm of model to
    measurement has a root mean square of 0.49, a factor of 1.6: 0.34 on an AMD EPYC 8024P, 0.37 on
    a Threadripper 1950X and 0.60 on a Xeon E3-1240 v2, whose two runs differ by a factor
    of 2. CodeCarbon's TDP x (0.1 + 0.9 x load^3) has 0.80. A free exponent makes it
    worse on an unknown processor. The clock frequency as a factor gives 0.43, mostly because of one
    processor; it is not used, because virtual machines do not report it and reading it wakes cores.

    Args:
        tdp_w: Rated power of what the operating system can see, in watts.
        load: Mean busy share of processor time; clipped to 0 to 1.

    Returns:
        Mean power in watts, between a tenth of the rated power and 92 % of it.
    """
    bounded = min(1.0, max(0.0, load))
    return tdp_w * (IDLE_SHARE + DYNAMIC_SHARE * bounded)

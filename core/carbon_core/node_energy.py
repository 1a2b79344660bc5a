"""Energy of a whole machine at the wall, beside the sum of its components, which it never replaces.

Without GPUs: a log-linear fit to published results of servers (SPECpower_ssj2008, spec.org, 2014 to
2022), by tools/fit_node_model.py; for machines in which nothing is metered. With GPUs: the sum of the
components times a factor from published comparisons. docs/uncertainty.md has the errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from carbon_core import uncertainty, units
from carbon_core.plausible import number
from carbon_core.record import record
from carbon_core.records import Estimate

if TYPE_CHECKING:
    from carbon_core.report import Report

# Between 0 and 10 % load, power rises more steeply than above.
LOW_LOAD = 0.1
# Published results are of machines tuned for them: others differ more.
_FIELD_SIGMA_LN = 0.25
# Wall / (CPU + GPU + RAM): 1.25 to 1.43 on a desktop with one GPU (Fischer 2025); a node with eight H100
# peaks at 8.4 kW with 5.6 kW of GPUs (Latif et al. 2025).
_GPU_FACTOR = 1.4
_GPU_SIGMA_LN = 0.12
_MODEL_GRADES = ("D", "E")
OF_SERVERS = "model of whole servers by rated power, memory, sockets and load"
OF_COMPONENTS = "sum of the components x 1.4, for power supply, fans, mainboard and disks"
NOT_METERED = "not metered: nothing was read at the wall; cooling is included by pue only"


class _Fit(NamedTuple):
    """Coefficients of ln(watts), and the rms error on architectures that were left out."""

    constant: float
    tdp: float
    memory: float
    chips: float
    dimms: float
    ghz: float
    error: float
    idle_error: float


# By whether the number of modules and the clock are known.
_FITS: Mapping[tuple[bool, bool], _Fit] = {
    (True, True): _Fit(0.687, 0.393, 0.019, -0.094, 0.627, -0.341, 0.164, 0.358),
    (True, False): _Fit(0.496, 0.335, 0.004, -0.140, 0.768, 0.0, 0.168, 0.364),
    (False, True): _Fit(0.057, 0.670, 0.191, 0.056, 0.0, -0.839, 0.190, 0.370),
    (False, False): _Fit(-1.168, 0.685, 0.276, 0.012, 0.0, 0.0, 0.224, 0.398),
}
_LOAD, _LOW_LOAD = 1.155, 4.765


@record(frozen=True)
class Server:
    """Features of a machine.

    Attributes:
        tdp_w: Rated power of all sockets in watts.
        memory_gb: Memory in GiB.
        chips: Sockets.
        dimms: Memory modules, or None.
        ghz: Rated clock, or None.
    """

    tdp_w: float
    memory_gb: float
    chips: float = 1.0
    dimms: float | None = None
    ghz: float | None = None


class NodeEnergy(NamedTuple):
    """Energy at the wall in kWh, times PUE, with its 95 % interval, and how it was estimated."""

    kwh: Estimate
    basis: str


def server_w(server: Server, load: float) -> tuple[float, float] | None:
    """Return the mean power at the wall in watts and its sigma_ln; None where it cannot be estimated.

    Args:
        server: The machine.
        load: Mean load of its processors, clipped to 0 to 1.
    """
    needed = server.tdp_w, server.memory_gb, server.chips
    if not all(map(_is_positive, needed)) or not math.isfinite(load):
        return None
    load = min(1.0, max(0.0, load))
    dimms, ghz = (value if _is_positive(value) else None for value in (server.dimms, server.ghz))
    fit = _FITS[dimms is not None, ghz is not None]
    of_features = (
        fit.tdp * math.log(server.tdp_w)
        + fit.memory * math.log(server.memory_gb)
        + fit.chips * math.log(server.chips)
        + fit.dimms * math.log(dimms or 1.0)
        + fit.ghz * math.log(ghz or 1.0)
    )
    of_load = _LOAD * load + _LOW_LOAD * min(load, LOW_LOAD)
    idle_part = 1.0 - min(load, LOW_LOAD) / LOW_LOAD
    error = fit.error + (fit.idle_error - fit.error) * idle_part
    return math.exp(fit.constant + of_features + of_load), math.hypot(error, _FIELD_SIGMA_LN)


def of_report(report: Report) -> NodeEnergy | None:
    """Return the energy of the whole machine in a run.

    None where a part of the machine is counted (a job's share, one of several ranks), where a meter
    covers processors or memory, where too little is known of the machine, and where it would be below
    the sum of the components.
    """
    is_whole = report.run.tracking_mode == "machine" and not report.counted_elsewhere
    if not report.is_known or not is_whole or not {"cpu", "ram"} <= set(report.components):
        return None
    if any(
        device.component != "gpu" and device.method.grade not in _MODEL_GRADES
        for device in report.window.by_device
    ):
        return None
    if "gpu" in report.components:
        sum_kwh, sigma_ln = report.energy_kwh.value, report.energy_sigmas_ln.total
        total = math.hypot(sigma_ln, _GPU_SIGMA_LN)
        estimate = uncertainty.interval(sum_kwh * _GPU_FACTOR, total, report.foreign_share)
        return NodeEnergy(estimate, OF_COMPONENTS)
    load = report.utilization.cpu_percent
    server = _server_of(report.host.facts, report.host.ram_total_gb)
    found = None if load is None else server_w(server, load / 100.0)
    if found is None:
        return None
    kwh = units.kwh(found[0] * report.duration_s) * report.run.pue
    # Of a machine unlike those servers, such as a part of one, the two models contradict each other.
    if kwh < report.energy_kwh.value:
        return None
    return NodeEnergy(uncertainty.interval(kwh, found[1]), OF_SERVERS)


def _server_of(facts: Mapping[str, str], memory_gb: float | None) -> Server:
    known = {name: number(facts.get(name)) for name in facts}
    return Server(
        tdp_w=known.get("cpu_tdp_w") or 0.0,
        memory_gb=memory_gb or 0.0,
        chips=known.get("cpu_sockets") or 0.0,
        dimms=known.get("memory_modules"),
        ghz=known.get("cpu_rated_ghz"),
    )


def _is_positive(value: float | None) -> bool:
    return value is not None and 0.0 < value < math.inf

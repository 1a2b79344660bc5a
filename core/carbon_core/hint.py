"""The one change of a setting or of the machine that would narrow the interval of a run most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from carbon_core import uncertainty
from carbon_core.records import COMPONENTS, GUESSED, Component

if TYPE_CHECKING:
    from carbon_core.report import Report

# Of the variance of the emissions; what causes less is not named.
_LEAST_PART = 0.1
# Countries whose regions have averages of their own.
WITH_REGIONS = ("AUS", "CAN", "CHN", "USA")
_PLACES = (
    "country_iso_code",
    "country_2letter_iso_code",
    "region",
    "electricitymaps_zone",
    "cloud_region",
)
_NAMES = {"rapl": "RAPL", "rapl by perf": "RAPL", "nvml": "NVML", "amdsmi": "AMD SMI"}
# Methods of boards of other makers, and of the same counters read otherwise.
_OF_OTHERS = {"nvml": ("amdsmi", "hwmon"), "amdsmi": ("nvml",), "rapl": ("rapl",)}


class _Cause(NamedTuple):
    """A cause of uncertainty: its part of the variance, and what would lessen it, if anything."""

    variance: float
    remedy: str


def hint(report: Report) -> str:
    """Return what would improve the result most, or an empty string where nothing would.

    Args:
        report: A run of known energy.
    """
    causes = list(_causes(report))
    total = math.fsum(one.variance for one in causes)
    useful = [one for one in causes if one.remedy and one.variance > _LEAST_PART * total]
    return max(useful, default=_Cause(0.0, "")).remedy


def _causes(report: Report) -> Iterator[_Cause]:
    yield _Cause(report.intensity_sigma_ln**2, _of_intensity(report))
    total_j = report.window.joules
    for component in COMPONENTS if total_j > 0 else ():
        every = report.window.by_device.items()
        devices = {one: energy for one, energy in every if one.component == component}
        errors_j = uncertainty.errors_j(devices, report.duration_s).values()
        yield _Cause((math.hypot(*errors_j) / total_j) ** 2, _of_meter(report, component))


def _of_intensity(report: Report) -> str:
    if not report.intensities:
        return ""
    used, run = max(report.intensities, key=lambda share: share.joules).intensity, report.run
    is_set = any(run.settings.get(name, "None") != "None" for name in _PLACES)
    if not is_set and (used.kind == "world" or used.place.endswith(GUESSED)):
        return "set country_iso_code"
    if used.kind == "world":
        return "set force_carbon_intensity_g_co2e_kwh"
    if used.kind != "annual":
        return ""
    if run.country_iso_code in WITH_REGIONS and not run.region:
        return "set region"
    return "set intensity_source for live grid intensity"


def _of_meter(report: Report, component: Component) -> str:
    methods = report.methods_of(component)
    for refusal in report.refusals:
        of_others = _OF_OTHERS.get(refusal.meter.partition(" ")[0], ())
        is_of_others = any(method.startswith(of_others) for method in methods)
        if refusal.component == component and refusal.remedy and not is_of_others:
            meter = _NAMES.get(refusal.meter, refusal.meter)
            return (
                f"make {meter} available ({component.upper()}): carbon-callbacks detect shows how"
            )
    return ""

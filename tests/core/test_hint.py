"""The one hint of a run: what causes most of its uncertainty and can be changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from carbon_core import methods, units
from carbon_core.config.schema import KEYS
from carbon_core.data import rows
from carbon_core.hint import WITH_REGIONS, hint
from carbon_core.methods import Method
from carbon_core.records import Device, Energy, Intensity, IntensityShare, Refusal, Snapshot
from carbon_core.report import Report, RunFacts

KWH = units.JOULES_PER_KWH
WORLD = Intensity(458.0, "world", "Ember", "world", "lifecycle", 1.1)
FRANCE = Intensity(50.0, "France", "Ember", "annual", "lifecycle", 0.2)
GUESSED = replace(FRANCE, place="France (guessed)", sigma_ln=0.41)
LIVE = Intensity(50.0, "FR", "Electricity Maps", "live", "lifecycle", 0.05)
OWN = Intensity(50.0, "mine", "settings", "user", None, 0.0)
NO_RAPL = Refusal("rapl", "cpu", "cannot read it: permission denied", "make it readable")
NO_NVIDIA = Refusal("nvml", "gpu", "no library", "ignore this without an NVIDIA GPU")
RAPL_HINT = "make RAPL available (CPU): carbon-callbacks detect shows how"


def report(
    intensity: Intensity,
    *refusals: Refusal,
    cpu: Method = methods.CPU_LOAD_TDP,
    gpu: Method | None = None,
    settings: dict[str, str] | None = None,
    **facts: Any,
) -> Report:
    """Return a run of one CPU, and a GPU with as much energy if there is one."""
    shown = dict.fromkeys(KEYS, "None") | (settings or {})
    run = RunFacts("id", "p", "2026-01-01T00:00:00+00:00", "1", "3.11", "Linux", settings=shown)
    devices = [Device("cpu:0", "cpu", "a CPU", cpu)]
    devices += [Device("gpu:0", "gpu", "a GPU", gpu)] if gpu else []
    end = Snapshot(3600 * units.NANOSECONDS_PER_SECOND, (*devices,), (Energy(KWH),) * len(devices))
    return Report(
        replace(run, **facts),
        "completed",
        "2026-01-01T01:00:00+00:00",
        end - Snapshot(0),
        (IntensityShare(intensity, KWH * len(devices), 100.0),),
        refusals=refusals,
    )


@pytest.mark.parametrize("intensity", [WORLD, GUESSED])
def test_a_place_that_no_setting_has_comes_first(intensity: Intensity) -> None:
    assert hint(report(intensity, NO_RAPL)) == "set country_iso_code"


def test_a_place_that_is_set_is_not_asked_for_again() -> None:
    known = {"country_iso_code": "XYZ"}
    assert hint(report(WORLD, settings=known)) == "set force_carbon_intensity_g_co2e_kwh"
    known = {"country_iso_code": "FRA"}
    assert hint(report(FRANCE, settings=known)) == "set intensity_source for live grid intensity"


def test_a_country_of_many_grids_needs_its_region() -> None:
    usa = replace(FRANCE, sigma_ln=0.9)
    known = {"country_iso_code": "USA"}
    assert hint(report(usa, settings=known, country_iso_code="USA")) == "set region"
    known["region"] = "California"
    of_region = report(usa, settings=known, country_iso_code="USA", region="California")
    assert "live" in hint(of_region)


def test_countries_with_regions_are_those_of_the_table() -> None:
    assert set(WITH_REGIONS) == {row["iso3"] for row in rows("grid_region")}


def test_a_meter_that_can_be_made_available_is_named() -> None:
    assert hint(report(LIVE, NO_RAPL)) == RAPL_HINT
    by_perf = replace(NO_RAPL, meter="rapl by perf")
    assert hint(report(LIVE, by_perf)) == RAPL_HINT


def test_the_larger_cause_is_the_hint() -> None:
    small = replace(FRANCE, sigma_ln=0.1)
    assert hint(report(small, NO_RAPL, settings={"country_iso_code": "FRA"})) == RAPL_HINT


def test_a_cause_that_is_nothing_beside_the_others_is_not_named() -> None:
    assert hint(report(WORLD, NO_RAPL, settings={"country_iso_code": "XYZ"})).startswith(
        "set force"
    )
    without = replace(NO_RAPL, remedy="")
    assert hint(report(replace(FRANCE, sigma_ln=0.05), without)) == ""


@pytest.mark.parametrize(
    "of",
    [
        report(OWN),
        report(LIVE, replace(NO_RAPL, remedy="")),
        report(LIVE, NO_RAPL, cpu=methods.RAPL_INTEL_CLIENT),
        report(LIVE, NO_NVIDIA),
        report(LIVE, NO_NVIDIA, gpu=methods.AMDSMI_POWER),
        replace(report(LIVE), intensities=()),
    ],
    ids=["exact", "no remedy", "read otherwise", "no GPU", "a GPU of AMD", "no intensity"],
)
def test_nothing_to_change_is_no_hint(of: Report) -> None:
    assert hint(of) == ""

"""What a run comes to: figures, units, and the line for people."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from carbon_core import intensity_spread, methods, units
from carbon_core.formatting import emissions_interval, energy_interval
from carbon_core.records import (
    Device,
    Energy,
    Intensity,
    IntensityShare,
    Snapshot,
)
from carbon_core.report import Report, RunFacts
from carbon_core.uncertainty import Z_95

KWH = units.JOULES_PER_KWH
S = units.NANOSECONDS_PER_SECOND
CPU = Device("cpu:package-0", "cpu", "package-0", methods.RAPL_INTEL_SERVER)
GPU = Device("gpu:GPU-1", "gpu", "A GPU", methods.NVML_ENERGY)
RAM = Device("ram:all", "ram", "64 GiB", methods.RAM_MODEL)
FRANCE = Intensity(50.0, "France", "Ember", "annual", "lifecycle", 0.2, year=2025)
YEARLY = replace(FRANCE, low_carbon_share=0.9)
LIVE = Intensity(100.0, "FR", "Electricity Maps", "live", "lifecycle", 0.05)


def sigma_of(figure: Intensity, duration_s: float, year: int | None = None) -> float:
    return math.hypot(*intensity_spread.spread(figure, duration_s, year))


def report(*, pue: float = 1.0, wue: float = 0.0, hours: float = 2.0) -> Report:
    """Return a run of 4 kWh: CPU 1, GPU 2.8, RAM 0.2."""
    run = RunFacts("id", "p", "2026-01-01T00:00:00+00:00", "1", "3.11", "Linux", pue=pue, wue=wue)
    energies = (Energy(1.0 * KWH), Energy(2.7 * KWH, 0.1 * KWH, 3.0), Energy(0.2 * KWH, 0.0, 1.0))
    end = Snapshot(units.nanoseconds(hours * 3_600), (CPU, GPU, RAM), energies)
    prices = (
        IntensityShare(FRANCE, 1 * KWH, 50.0 * pue),
        IntensityShare(LIVE, 3 * KWH, 300.0 * pue),
    )
    return Report(run, "completed", "2026-01-01T02:00:00+00:00", end - Snapshot(0), prices)


def test_energy_emissions_and_mean_intensity() -> None:
    of = report()
    assert of.energy_kwh.value == pytest.approx(4.0)
    assert of.emissions_kg.value == 0.35
    assert of.intensity_g_per_kwh == pytest.approx(350 / 4)


def test_mean_power_is_energy_by_duration() -> None:
    of = report()
    assert of.power_w == pytest.approx(2_000.0)
    assert of.power_w * of.duration_s == pytest.approx(of.energy_kwh.value * KWH)
    assert of.component_w("gpu") * of.duration_s == pytest.approx(of.component_kwh("gpu") * KWH)


def test_components_add_up() -> None:
    of = report(pue=1.3)
    assert of.components == ("cpu", "gpu", "ram")
    parts = [of.component_kwh(component) for component in of.components]
    assert parts == pytest.approx([1.3, 3.64, 0.26])
    assert sum(parts) == pytest.approx(of.energy_kwh.value)
    assert sum(map(of.component_w, of.components)) == pytest.approx(of.power_w)


def test_pue_multiplies_energy_and_power_and_grams_but_not_intensity() -> None:
    plain, facility = report(), report(pue=1.5)
    assert facility.energy_kwh.value == pytest.approx(1.5 * plain.energy_kwh.value)
    assert facility.power_w == pytest.approx(1.5 * plain.power_w)
    assert facility.component_w("cpu") == pytest.approx(1.5 * plain.component_w("cpu"))
    assert facility.emissions_kg.value == pytest.approx(1.5 * plain.emissions_kg.value)
    assert facility.intensity_g_per_kwh == pytest.approx(plain.intensity_g_per_kwh)


def test_water_is_wue_times_the_energy_of_the_hardware() -> None:
    assert report(wue=1.8).water_l == pytest.approx(7.2)
    assert report(wue=1.8, pue=2.0).water_l == pytest.approx(7.2)
    assert report().water_l == 0.0


def test_the_interval_of_energy_is_that_of_its_methods() -> None:
    of = report()
    shares = {0.04: 1 / 4, 0.05: 2.8 / 4, methods.RAM_MODEL.sigma_ln: 0.2 / 4}
    variance = sum((sigma * share) ** 2 for sigma, share in shares.items())
    variance += (math.log(2) * 0.1 / 4) ** 2 + (2.8 / 4 * 0.08 / 7_200) ** 2
    sigma_ln = max(0.05, math.sqrt(variance))
    assert of.energy_kwh.high == pytest.approx(4.0 * math.exp(Z_95 * sigma_ln))
    assert of.energy_kwh.low == pytest.approx(4.0 / math.exp(Z_95 * sigma_ln))


def test_the_interval_of_emissions_adds_that_of_the_intensity() -> None:
    of = report()
    energy_sigma_ln = math.log(of.energy_kwh.high / of.energy_kwh.value) / Z_95
    intensity_sigma_ln = 50 / 350 * 0.2 + 300 / 350 * 0.05
    sigma_ln = math.hypot(energy_sigma_ln, intensity_sigma_ln)
    assert of.emissions_kg.high == pytest.approx(0.35 * math.exp(Z_95 * sigma_ln))


def test_the_interval_of_emissions_is_narrower_for_a_longer_run() -> None:
    grid = replace(FRANCE, sigma_ln=0.04, low_carbon_share=0.95)

    def factor(hours: float) -> float:
        of = report(hours=hours)
        of = replace(of, intensities=(IntensityShare(grid, 4 * KWH, 200.0),))
        return of.emissions_kg.high / of.emissions_kg.value

    assert factor(1) > factor(24) > factor(7 * 24) > factor(90 * 24) > 1.0
    energy_sigma_ln = report(hours=24).energy_sigmas_ln.total
    sigma_ln = math.hypot(energy_sigma_ln, sigma_of(grid, 24 * 3_600.0, 2026))
    assert factor(24) == pytest.approx(math.exp(Z_95 * sigma_ln))


def test_a_live_intensity_is_less_certain_for_the_hours_to_come() -> None:
    of = replace(report(hours=1.0), intensities=(IntensityShare(LIVE, 4 * KWH, 400.0),))
    same, twice, tenfold = (of.stretched(hours * 3_600.0) for hours in (1.0, 2.0, 10.0))
    assert same.emissions_kg == of.emissions_kg
    widths = [one.emissions_kg.high / one.emissions_kg.low for one in (same, twice, tenfold)]
    assert widths == sorted(set(widths))
    assert {one.emissions_kg.value for one in (same, twice, tenfold)} == {of.emissions_kg.value}


def test_an_annual_intensity_is_more_certain_for_a_longer_run() -> None:
    of = replace(report(hours=1.0), intensities=(IntensityShare(YEARLY, 4 * KWH, 200.0),))
    assert of.stretched(36_000.0).emissions_kg.high < of.emissions_kg.high


def test_shares_by_grade_and_whether_it_is_an_estimate() -> None:
    of = report()
    assert of.shares_by_grade == pytest.approx({"A": 3.7 / 4, "E": 0.3 / 4})
    assert not of.is_estimate


def test_methods_of_a_component() -> None:
    assert report().methods_of("gpu") == ["nvml.energy"]
    assert report().methods_of("cpu") == ["rapl.package"]


def test_missing_is_the_longest_of_the_devices() -> None:
    assert report().missing_s == 3.0


def test_a_later_part_of_a_run_counts_only_what_it_missed_itself() -> None:
    whole = report()
    later_ns = whole.window.end.t_ns + S
    energies = (Energy(1.1 * KWH), Energy(2.9 * KWH, 0.1 * KWH, 3.5), Energy(0.3 * KWH, 0.0, 1.0))
    part = replace(whole, window=Snapshot(later_ns, (CPU, GPU, RAM), energies) - whole.window.end)
    assert part.duration_s == 1.0
    assert part.missing_s == pytest.approx(0.5)


def test_a_run_of_no_time_is_of_unknown_energy() -> None:
    nothing = replace(report(), window=Snapshot(0) - Snapshot(0), intensities=())
    assert nothing.energy_kwh == (0.0, 0.0, 0.0)
    assert nothing.emissions_kg == (0.0, 0.0, 0.0)
    assert (nothing.power_w, nothing.component_w("gpu"), nothing.water_l) == (0.0, 0.0, 0.0)
    assert (nothing.intensity_g_per_kwh, nothing.missing_s) == (0.0, 0.0)
    assert (nothing.place, nothing.components) == ("unknown place", ())
    assert not nothing.is_known
    assert "energy unknown" in nothing.summary()
    assert "kWh" not in nothing.summary()


def test_a_run_of_no_energy_still_names_its_intensity() -> None:
    nothing = replace(
        report(), window=Snapshot(0) - Snapshot(0), intensities=(IntensityShare(FRANCE, 0.0, 0.0),)
    )
    assert (nothing.intensity_g_per_kwh, nothing.place) == (50.0, "France")


def test_the_summary_says_it_in_one_line() -> None:
    of = report()
    assert of.summary() == (
        f"completed after 2 h: 4.00 kWh, {emissions_interval(of.emissions_kg, '95 %: ')}, "
        "92 % measured by counters (CPU, GPU), 5 % estimated from typical values (RAM), "
        "2 % extrapolated; 87.5 g CO2e/kWh, FR"
    )


def test_the_summary_calls_an_estimate_an_estimate() -> None:
    device = Device("cpu:all", "cpu", "", methods.CPU_LOAD_TDP)
    end = Snapshot(S, (device,), (Energy(100.0),))
    assert ", estimated from load (CPU); " in replace(report(), window=end - Snapshot(0)).summary()


def test_a_table_in_a_notebook_has_no_control_characters() -> None:
    named = report()
    named = replace(named, run=replace(named.run, project_name="a\x1b[31m\u202eb\nc"))
    table = named._repr_html_() or ""
    assert table.isprintable()
    assert "a [31m b c, completed" in table


def test_a_notebook_shows_the_run_as_a_table_letter_by_letter() -> None:
    named = report()
    named = replace(named, run=replace(named.run, project_name="<b>&</b>"))
    table = named._repr_html_() or ""
    assert table.startswith("<table ")
    assert "&lt;b&gt;&amp;&lt;/b&gt;, completed after 2 h" in table
    assert energy_interval(named.energy_kwh) in table
    assert "92 % measured by counters (CPU, GPU), 5 % estimated from typical values (RAM)" in table
    assert energy_interval(named.intervals.component_kwh("gpu")) in table
    assert table.count("<tr>") == table.count("</tr>") == 9
    assert repr(named).startswith("Report(<b>&</b>, completed after 2 h: 4.00 kWh")

"""The uncertainty of an annual intensity: by length of run, low-carbon share and year; against data."""

from __future__ import annotations

import math

import fit_intensity_spread as fitted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core import intensity_spread
from carbon_core.data import rows
from carbon_core.intensity import tables, zones
from carbon_core.intensity.location import Place, locate
from carbon_core.records import Intensity, IntensityShare
from carbon_core.uncertainty import intensity_sigma_ln

HOUR_S = 3600.0
YEAR_S = 365 * 86_400.0
LENGTHS_S = (HOUR_S, 24 * HOUR_S, 7 * 24 * HOUR_S, 30 * 24 * HOUR_S, YEAR_S)


def annual(share: float | None, year: int = 2025, sigma_ln: float = 0.04) -> Intensity:
    return Intensity(
        300.0, "X", "a test", "annual", None, sigma_ln, year=year, low_carbon_share=share
    )


def sigma_of(figure: Intensity, duration_s: float, year: int | None = None) -> float:
    return math.hypot(*intensity_spread.spread(figure, duration_s, year))


def sigmas_of(figure: Intensity, year: int = 2026) -> list[float]:
    return [sigma_of(figure, length_s, year) for length_s in LENGTHS_S]


# --- by length, share and year -------------------------------------------------------------------


@given(st.floats(0.0, 1.0), st.floats(0.0, 1e10), st.floats(1.0, 100.0))
def test_a_longer_run_is_not_less_certain(share: float, short_s: float, factor: float) -> None:
    short, long = (
        sigma_of(annual(share), length_s, 2026) for length_s in (short_s, short_s * factor)
    )
    assert 0.04 <= long <= short <= 1.0


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from(LENGTHS_S))
def test_a_larger_low_carbon_share_is_not_more_certain(a: float, b: float, length_s: float) -> None:
    low, high = (sigma_of(annual(share), length_s, 2026) for share in sorted((a, b)))
    assert low <= high


def test_the_points_of_the_data_are_met() -> None:
    share = 0.5
    for length_s, slope, constant in intensity_spread.POINTS[:-1]:
        expected = slope * share + constant
        assert intensity_spread.within_year(share, length_s) == pytest.approx(expected)
    assert intensity_spread.within_year(share, YEAR_S) == 0.0
    assert intensity_spread.within_year(share, 5 * YEAR_S) == 0.0
    assert intensity_spread.within_year(share, 0.0) == intensity_spread.within_year(share, HOUR_S)
    assert intensity_spread.within_year(0.0, HOUR_S) == intensity_spread.LEAST


def test_between_two_points_the_logarithm_of_the_length_counts() -> None:
    day, week = (intensity_spread.within_year(0.5, days * 24 * HOUR_S) for days in (1, 7))
    middle = intensity_spread.within_year(0.5, math.sqrt(7) * 24 * HOUR_S)
    assert middle == pytest.approx((day + week) / 2)


def test_an_old_figure_is_less_certain() -> None:
    of_its_year, next_year, later = (
        sigma_of(annual(0.6), YEAR_S, year) for year in (2025, 2026, 2029)
    )
    assert of_its_year == pytest.approx(0.04)
    assert of_its_year < next_year < later
    assert sigma_of(annual(0.6), YEAR_S) == next_year
    assert sigma_of(annual(0.6), YEAR_S, 2021) == later


def test_a_clock_that_is_wrong_by_decades_keeps_the_interval_finite() -> None:
    assert sigma_of(annual(0.6), HOUR_S, 1970) < 1.0


@pytest.mark.parametrize("year", [None, 1970, 2026])
def test_what_is_exact_live_or_of_an_older_version_is_constant(year: int | None) -> None:
    own = locate(Place("FRA", own_g_per_kwh=50.0)).intensity
    live = Intensity(50.0, "FR", "a test", "live", "lifecycle", 0.05, time="2026-01-01T00:00Z")
    old = annual(None, sigma_ln=0.2)
    for figure, sigma_ln in ((own, 0.0), (live, 0.05), (old, 0.2)):
        assert {sigma_of(figure, length_s, year) for length_s in LENGTHS_S} == {sigma_ln}


def test_a_live_value_varies_in_hours_that_are_not_its_own() -> None:
    live = Intensity(150.0, "FR", "a test", "live", "lifecycle", 0.05, time="2026-01-01T00:00Z")
    hour, day, year = (
        sigma_of(intensity_spread.of_other_hours(live), length_s, 2026)
        for length_s in (HOUR_S, 24 * HOUR_S, YEAR_S)
    )
    assert hour > day > year == 0.05
    own = locate(Place("FRA", own_g_per_kwh=50.0)).intensity
    assert intensity_spread.of_other_hours(own) == own
    assert intensity_spread.of_other_hours(annual(0.6)) == annual(0.6)


def test_hours_with_a_live_value_and_the_rest_with_an_annual_average() -> None:
    live = Intensity(100.0, "FR", "a test", "live", "lifecycle", 0.05)
    mixed = [
        IntensityShare(live, 3 * 3.6e6, 300.0),
        IntensityShare(annual(0.6), 1 * 3.6e6, 100.0),
    ]
    rest = intensity_spread.spread(annual(0.6), HOUR_S, 2026)  # an hour of four
    found = intensity_sigma_ln(mixed, 4 * HOUR_S, 2026)
    assert found == pytest.approx(
        math.hypot(0.75 * 0.05 + 0.25 * rest.of_figure, 0.25 * rest.of_hours)
    )
    assert intensity_sigma_ln(mixed[:1], 4 * HOUR_S, 2026) == 0.05


@pytest.mark.parametrize("grams", [0.0, 10.0])
def test_a_run_without_energy_has_the_uncertainty_of_its_intensity(grams: float) -> None:
    shares = [IntensityShare(annual(0.6), 0.0, grams)]
    expected = sigma_of(annual(0.6), HOUR_S, 2026)
    assert intensity_sigma_ln(shares, HOUR_S, 2026) == expected
    assert intensity_sigma_ln([], HOUR_S, 2026) == 0.0


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        Place("DEU"),
        Place("DEU", year=2019),
        Place(zone="DE"),
        Place("CAN", "Ontario"),
        Place("USA", "California"),
        Place(cloud_provider="gcp", cloud_region="europe-west1", scope="direct"),
        Place("CHL"),
        Place("MCO"),
        Place(time_zone="Europe/Paris"),
        Place(),
    ],
)
def test_every_annual_average_depends_on_the_length_of_the_run(place: Place) -> None:
    found = locate(place).intensity
    hour, *_, year = sigmas_of(found)
    assert hour > year > 0.0


def test_a_zone_and_its_country_have_the_same_share() -> None:
    zone, country = zones.zone("DE"), tables.country("DEU")
    assert zone is not None
    assert country is not None
    assert zone.low_carbon_share == country.low_carbon_share == zones.low_carbon_share("DE") == 0.64


def test_without_a_share_in_the_tables_the_intensity_suggests_one() -> None:
    russia = tables.country("RUS")
    assert russia is not None
    assert zones.low_carbon_share("RU") is None
    assert russia.low_carbon_share == 1 - russia.g_per_kwh / 750
    assert intensity_spread.likely_low_carbon_share(1200.0) == 0.0


def test_what_the_intensity_suggests_agrees_with_the_shares_of_the_zones() -> None:
    errors = [
        intensity_spread.likely_low_carbon_share(float(row["g_per_kwh"])) - share
        for row in rows("odbl/em_zone_yearly")
        if row["year"] == "2025" and (share := zones.low_carbon_share(row["zone_key"])) is not None
    ]
    assert math.sqrt(sum(error**2 for error in errors) / len(errors)) < 0.15
    assert len(errors) == 352


def test_a_large_country_has_the_spread_of_its_zones_on_top() -> None:
    for iso3, spread in tables.SPREAD_LN.items():
        found = tables.country(iso3)
        assert found is not None
        assert min(sigmas_of(found)) > spread
    state, country = tables.region("USA", "California"), tables.country("USA")
    assert state is not None
    assert country is not None
    assert max(sigmas_of(state)) < min(sigmas_of(country))


def test_the_spread_of_large_countries_is_that_of_the_tables() -> None:
    newest = {row["zone_key"]: row for row in rows("odbl/em_zone_yearly") if row["year"] == "2025"}
    figures: dict[str, list[float]] = {}
    whole: dict[str, float] = {}
    for row in rows("odbl/em_zone"):
        g_per_kwh = float(newest[row["zone_key"]]["g_per_kwh"])
        if "-" in row["zone_key"]:
            figures.setdefault(row["iso3"], []).append(g_per_kwh)
        else:
            whole[row["iso3"]] = g_per_kwh
    whole["RUS"] = tables.country("RUS").g_per_kwh  # type: ignore[union-attr]  # in the table
    figures["CHN"] = [float(r["g_per_kwh"]) for r in rows("grid_region") if r["iso3"] == "CHN"]
    whole["CHN"] = sum(figures["CHN"]) / len(figures["CHN"])
    found = {
        iso3: math.sqrt(sum(math.log(one / whole[iso3]) ** 2 for one in of) / len(of))
        for iso3, of in figures.items()
        if len(of) > 1
    }
    islands = {"ESP", "GBR", "FRO"}  # whose mainland is one grid
    assert {iso3: round(spread, 2) for iso3, spread in found.items() if iso3 not in islands} == (
        tables.SPREAD_LN
    )


# --- against data --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", fitted.LENGTHS_S)
def test_intervals_hold_in_zones_that_they_were_not_fitted_to(length: str) -> None:
    data = fitted.read(length)
    assert len({one.zone for one in data}) == 13
    left_out = fitted.left_out(data)
    assert fitted.coverage(data, left_out) >= 0.93
    assert fitted.width(data, left_out) <= 1.2


@pytest.mark.parametrize("length", fitted.LENGTHS_S)
def test_the_constants_are_those_of_the_fit(length: str) -> None:
    data, length_s = fitted.read(length), fitted.LENGTHS_S[length]
    line = fitted.fit(data)
    [(slope, constant)] = [(a, b) for s, a, b in intensity_spread.POINTS if s == length_s]
    assert line.slope - 0.01 <= slope <= line.slope + 0.03
    assert line.constant - 0.01 <= constant <= line.constant + 0.03


@pytest.mark.parametrize("years", [0, 1])
@pytest.mark.parametrize("length", fitted.LENGTHS_S)
def test_intervals_hold_a_year_later_and_are_no_wider_than_they_must_be(
    length: str, years: int
) -> None:
    data = fitted.next_year(length) if years else fitted.read(length)
    sigmas = [fitted.shipped(fitted.LENGTHS_S[length], years)(one.share) for one in data]
    assert 0.93 <= fitted.coverage(data, sigmas) <= 0.985
    assert 0.9 <= fitted.width(data, sigmas) <= 1.5


@pytest.mark.parametrize("years", [1, 2, 3, 4])
@pytest.mark.parametrize("errors_of", [fitted.yearly_errors, fitted.yearly_errors_of_countries])
def test_runs_of_a_year_are_covered_by_an_older_figure(errors_of, years: int) -> None:
    data = list(errors_of(years))
    sigmas = [fitted.shipped(YEAR_S, years)(one.share) for one in data]
    assert len(data) > 300
    assert 0.93 <= fitted.coverage(data, sigmas) <= 0.99
    assert fitted.width(data, sigmas) <= 1.5

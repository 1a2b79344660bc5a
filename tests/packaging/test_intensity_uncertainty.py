"""The documented uncertainty of grid intensity is that of the code and of the fit."""

from __future__ import annotations

import re
from pathlib import Path

import fit_intensity_spread as fitted
import pytest

from carbon_core import intensity_spread
from carbon_core.intensity import tables, zones

PAGE = (Path(__file__).parents[2] / "docs" / "uncertainty.md").read_text(encoding="utf-8")


def test_the_lines_of_the_lengths_of_runs() -> None:
    cells = re.findall(r"\| ([\d.]+) L \S ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", PAGE)
    documented = [tuple(map(float, row)) for row in cells]
    assert documented == [
        (
            slope,
            -constant,
            *(round(intensity_spread.within_year(L, length_s), 2) for L in (0.2, 0.6, 0.9)),
        )
        for length_s, slope, constant in intensity_spread.POINTS[:-1]
    ]
    assert f"({intensity_spread.YEARLY_SLOPE} L + {intensity_spread.YEARLY_CONSTANT}) x √" in PAGE
    assert f"**The figure**: {zones.ANNUAL_SIGMA_LN}" in PAGE


def test_the_spread_of_large_countries() -> None:
    found = dict(re.findall(r"\| ([A-Z][A-Za-z ]+) \| (\d\.\d\d) (?=\|)", PAGE))
    names = {code: tables.country_name(code) for code in tables.SPREAD_LN} | {"USA": "USA"}
    assert found == {names[code]: f"{spread:.2f}" for code, spread in tables.SPREAD_LN.items()}


@pytest.mark.parametrize(
    ("row", "length"), [("1 hour", "1h"), ("24 hours", "24h"), ("7 days", "7d"), ("30 days", "30d")]
)
def test_the_coverage(row: str, length: str) -> None:
    length_s = fitted.LENGTHS_S[length]
    data, later = fitted.read(length), fitted.next_year(length)
    cells = (
        (data, fitted.left_out(data)),
        (data, [fitted.shipped(length_s)(one.share) for one in data]),
        (later, [fitted.shipped(length_s, 1)(one.share) for one in later]),
    )
    text = " | ".join(
        f"{100 * fitted.coverage(*cell):.1f} %, {fitted.width(*cell):.1f}" for cell in cells
    )
    assert f"| {row} | {text} |" in PAGE


@pytest.mark.parametrize(
    ("row", "errors_of"),
    [("zones", fitted.yearly_errors), ("countries", fitted.yearly_errors_of_countries)],
)
def test_the_coverage_of_a_year(row: str, errors_of) -> None:
    data = list(errors_of(1))
    sigmas = [fitted.shipped(365 * 86_400.0, 1)(one.share) for one in data]
    text = f"{100 * fitted.coverage(data, sigmas):.1f} %, {fitted.width(data, sigmas):.1f}"
    assert f"| a year, {row} | | | {text} |" in PAGE

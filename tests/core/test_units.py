"""Conversions are exact, or as exact as a float can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core import units


def test_a_kilowatt_hour_is_3_6_megajoules() -> None:
    assert units.kwh(3_600_000.0) == 1.0
    assert units.kwh(0.0) == 0.0
    assert units.JOULES_PER_KWH == 1000 * 60 * 60


def test_seconds_and_nanoseconds() -> None:
    assert units.seconds(1_500_000_000) == 1.5
    assert units.nanoseconds(1.5) == 1_500_000_000
    assert isinstance(units.nanoseconds(0.1), int)
    assert units.nanoseconds(1e-9) == 1


def test_sizes() -> None:
    assert (units.BYTES_PER_GIB, units.GRAMS_PER_KG) == (1_073_741_824, 1000.0)


@given(st.integers(0, 90 * 86_400 * units.NANOSECONDS_PER_SECOND))
def test_a_quarter_of_a_year_goes_there_and_back(nanoseconds: int) -> None:
    assert units.nanoseconds(units.seconds(nanoseconds)) == pytest.approx(nanoseconds, abs=1)

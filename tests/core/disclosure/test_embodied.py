"""Embodied emissions: the specification's examples, the shipped table, and intervals."""

from __future__ import annotations

import math

import pytest

from carbon_core.data import rows, text
from carbon_core.disclosure import embodied
from carbon_core.disclosure.activities import Activity, Hardware
from carbon_core.disclosure.facts import Facts
from carbon_core.errors import ConfigError
from carbon_core.records import Estimate


def exact(value: float) -> Estimate:
    return Estimate(value, value, value)


def activity(gpus: tuple[str, ...] = (), gpu_hours: float | None = None) -> Activity:
    return Activity(
        "1", "p", "training", "completed", "", "", 3600.0, None, None,
        hardware=Hardware(gpu_models=gpus), gpu_hours=gpu_hours,
    )  # fmt: skip


def test_the_example_of_the_specification() -> None:
    # ISO/IEC 21031: 1000 kg, four years, one hour: "around 28 g".
    kg = embodied.allocated(exact(1000.0), 1.0, exact(4.0))
    assert kg.value == kg.low == kg.high == pytest.approx(1000 / (4 * 365 * 24))
    assert kg.value * 1000 == pytest.approx(28.5, abs=0.05)


@pytest.mark.parametrize(
    ("total_kg", "reserved", "resources", "grams"),
    [(1205.52, 2, 16, 4.305), (1433.12, 2, 16, 5.112), (350.0, 1, 1, 9.988)],
)
def test_the_case_study_of_the_specification(
    total_kg: float, reserved: int, resources: int, grams: float
) -> None:
    # The application, database and client of the case study eShoppen: one hour of 35,040.
    kg = embodied.allocated(exact(total_kg), 1.0, exact(35_040 / 8760), reserved / resources)
    assert kg.value * 1000 == pytest.approx(grams, rel=2e-3)  # rounded there


def test_intervals_of_independent_factors_combine_in_the_logarithm() -> None:
    kg = embodied.allocated(Estimate(100.0, 50.0, 200.0), 8760.0, Estimate(4.0, 2.0, 8.0))
    factor = math.exp(math.sqrt(2) * math.log(2))
    assert kg == pytest.approx((25.0, 25.0 / factor, 25.0 * factor))


def test_a_lower_end_of_zero_stays_zero() -> None:
    assert embodied.product(Estimate(1.0, 0.0, 2.0), exact(3.0)) == (3.0, 0.0, pytest.approx(6.0))
    assert embodied.product(exact(0.0), Estimate(1.0, 0.5, 2.0)) == (0.0, 0.0, 0.0)


def test_errors_of_operation_and_hardware_are_independent() -> None:
    total = embodied.independent_sum(Estimate(10.0, 7.0, 13.0), Estimate(10.0, 6.0, 14.0))
    assert total == (20.0, 15.0, 25.0)


@pytest.mark.parametrize(
    ("gpu", "model"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("nvidia h100 nvl", "H100"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GB200", ""),
        ("NVIDIA GeForce RTX 4090", ""),
        ("", ""),
    ],
)
def test_a_figure_applies_to_a_word_of_the_name(gpu: str, model: str) -> None:
    assert embodied.figure_of(gpu).model == model


def test_gpu_hours_are_allocated_by_model() -> None:
    found = embodied.of_gpus(
        [activity(("NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"), 8760.0), activity((), 0.0)]
    )
    assert found is not None
    assert [(part.name[7:11], part.hours) for part in found.gpus] == [
        ("A100", 4380),
        ("H100", 4380),
    ]
    assert found.kg.value == pytest.approx((127.6 + 164.0) / 8)
    assert found.kg.low < found.kg.value / 2
    assert found.kg.high > found.kg.value * 2
    assert len(found.notes) == 2


def test_without_gpus_nothing_is_allocated_and_unknown_hardware_is_named() -> None:
    assert embodied.of_gpus([]) is None
    assert embodied.of_gpus([activity()]) is None
    found = embodied.of_gpus([activity(("NVIDIA A100",), 1.0), activity()])
    assert found is not None
    assert "1 runs whose hardware is unknown" in found.notes[2]


def test_the_users_figure_is_first_then_that_of_the_hardware_then_the_table() -> None:
    runs = [activity(("NVIDIA A100",), 1.0)]
    assert embodied.of_runs(runs, 3600.0, Facts()) is None
    table = embodied.of_runs(runs, 3600.0, Facts({"embodied_table": "gpu"}))
    assert table is not None
    assert table.source == "shipped table of GPUs"
    of_server = {
        "hardware_embodied_kg": 1000.0,
        "hardware_lifespan_years": 4.0,
        "hardware_share": 0.5,
    }
    hardware = embodied.of_runs(runs, 7200.0, Facts({**of_server, "embodied_table": "gpu"}))
    assert hardware is not None
    assert hardware.kg.value == pytest.approx(1000 / 35_040)
    given = {"embodied_kg": 3.0, "embodied_low_kg": 2.0, "embodied_high_kg": 5.0}
    user = embodied.of_runs(runs, 7200.0, Facts({**of_server, **given, "embodied_source": "LCA"}))
    assert user == (Estimate(3.0, 2.0, 5.0), "LCA", (), ())
    without = embodied.of_runs(runs, 7200.0, Facts({"embodied_kg": 3.0}))
    assert without is not None
    assert without.notes == ("interval not known",)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"embodied_kg": 1.0, "embodied_low_kg": 2.0}, "embodied_kg"),
        ({"embodied_kg": 1.0, "embodied_high_kg": 0.5}, "embodied_kg"),
        ({"hardware_lifespan_years": 0.0}, "hardware_lifespan_years"),
        ({"hardware_share": 1.5}, "hardware_share"),
        ({"hardware_reserved_h": 50_000.0}, "hardware_reserved_h"),
    ],
)
def test_an_impossible_figure_is_refused_by_its_key(given: dict[str, float], key: str) -> None:
    more = (
        {}
        if "embodied_kg" in given
        else {"hardware_embodied_kg": 1.0, "hardware_lifespan_years": 4.0}
    )
    with pytest.raises(ConfigError) as caught:
        embodied.of_runs([], 3600.0, Facts({**more, **given}))
    assert caught.value.key == key
    assert key in str(caught.value)


def test_each_figure_has_an_interval_and_a_source() -> None:
    table = embodied.figures()
    assert [one.model for one in table].count("") == 1
    assert not table[-1].model
    for one in table:
        assert 0 < one.kg.low < one.kg.value < one.kg.high
        assert one.kg.high / one.kg.value >= 1.99
        assert one.source
        assert one.scope
        assert 2020 <= one.year <= 2030
    assert f"embodied_gpu.csv ({len(list(rows('embodied_gpu')))} rows)" in text("SOURCES.md")

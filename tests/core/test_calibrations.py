"""The setting `calibration`: what it accepts, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from carbon_core.calibrations import of_device, parse, text_of
from carbon_core.config.resolve import resolve
from carbon_core.decoding import DecodingError, decoded
from carbon_core.errors import ConfigError
from carbon_core.methods import Calibration
from carbon_core.testing import fake_device

WALL = "gpu: 1.03 ± 0.02 (wall meter)"
GIVEN: list[tuple[Any, str]] = [
    (WALL, WALL),
    ("GPU = 1.03 +/- .02 (wall meter)", WALL),
    ({"gpu": {"gain": 1.03, "sigma": 0.02, "source": "wall meter"}}, WALL),
    ({"gpu": (1.03, 0.02, "wall meter")}, WALL),
    ({"gpu": "1.03 ± 0.02 (wall meter)"}, WALL),
    ('{"gpu": {"gain": 1.03, "sigma": 0.02, "source": "wall meter"}}', WALL),
    ("cpu: 1 ± 0, ram: 2 +- 1e-1", "cpu: 1 ± 0; ram: 2 ± 0.1"),
    ("cpu: 1 ± 0\nram: 2 ± 0.1", "cpu: 1 ± 0; ram: 2 ± 0.1"),
    ("gpu:GPU-5d1f-1: 1 ± 0 (lab; 2026, B)", "gpu:GPU-5d1f-1: 1 ± 0 (lab; 2026, B)"),
    ({"cpu": (0.97, 0.0, "lab (room 2)")}, "cpu: 0.97 ± 0 (lab [room 2])"),
    ("", ""),
]
WRONG: list[Any] = [
    "gpu: 1.03",
    "gpu",
    "1.03 ± 0.02",
    "gppu: 1 ± 0",
    "gpu:: 1 ± 0",
    "gpu: nan ± 0",
    "gpu: 1 ± nan",
    "gpu: 1 ± inf",
    "gpu: 1e400 ± 0",
    "gpu: 0 ± 0.1",
    "gpu: 1 ± -0.1",
    "gpu: 103 ± 2",
    "gpu: 1 ± 0; gpu: 1 ± 0",
    "GPU: 1 ± 0; gpu: 1 ± 0",
    "gpu:GPU-A: 1 ± 0; gpu:gpu-a: 1.1 ± 0",
    "gpu: 1 ± 0 (wall meter",
    "gpu: 1.0.3 ± 0",
    ";" * 10_000,
    '{"gpu": {"gain": 1, "sigma": 0}, "gpu": {"gain": 2, "sigma": 0}}',
    '{"gpu": ',
    {"gpu": 1.03},
    {"gpu": (1.0,)},
    {"gpu": (1.0, float("nan"))},
    {"gpu": (float("inf"), 0.0)},
    {"gpu": (True, 0.0)},
    {"gpu": {"gain": 1.0}},
    {"gpu": {"gain": 1.0, "sigma": 0.1, "sd": 0.1}},
    {"gpu": (1.0, 0.1, "a\x00b")},
    {7: (1.0, 0.1)},
    {f"gpu:{i}": (1.0, 0.1, "meter " * 30) for i in range(30)},
    1.03,
    ["gpu"],
]


@pytest.mark.parametrize(("value", "text"), GIVEN)
def test_it_is_kept_as_text_that_reads_the_same(value: Any, text: str) -> None:
    assert text_of(parse(value)) == text
    assert text_of(parse(text)) == text
    assert parse(text) == parse(value)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:40])
def test_anything_else_is_refused_with_what_is_allowed(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"calibration must be devices with gain .* \(argument\)"):
        resolve({"calibration": value}, environ={}, home=tmp_path, directory=tmp_path)


def test_a_wrong_value_in_a_file_is_one_warning_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / ".codecarbon.config"
    file.write_text("[codecarbon]\ncalibration = gpu: 1.03\n")
    found = resolve({}, environ={}, home=tmp_path, directory=tmp_path)
    assert found.settings.calibration is None
    (warning,) = found.warnings
    assert f"{file} line 2" in warning
    assert "gpu: 1.03 ± 0.02 (wall meter)" in warning


def test_a_file_and_a_variable_are_read(tmp_path: Path) -> None:
    file = tmp_path / ".codecarbon.config"
    file.write_text(f"[codecarbon]\ncalibration = {WALL}; cpu: 0.9 ± 0.1\n", encoding="utf-8")

    def calibration(environ: Mapping[str, str]) -> str | None:
        return resolve({}, environ=environ, home=tmp_path, directory=tmp_path).settings.calibration

    assert calibration({}) == f"{WALL}; cpu: 0.9 ± 0.1"
    assert calibration({"CODECARBON_CALIBRATION": "ram: 1 +- 0"}) == "ram: 1 ± 0"
    assert calibration({"CODECARBON_CALIBRATION": ""}) is None


def test_the_id_of_a_device_precedes_its_component() -> None:
    found = parse("gpu: 1.1 ± 0; gpu:GPU-A: 1.2 ± 0")
    gains = {
        device.id: one.gain if (one := of_device(device, found)) else None
        for device in [fake_device("gpu", "gpu-a"), fake_device("gpu", "B"), fake_device("cpu")]
    }
    assert gains == {"gpu:gpu-a": 1.2, "gpu:B": 1.1, "cpu:fake": None}


@pytest.mark.parametrize("gain", [float("inf"), float("nan"), -1.0])
def test_a_gain_in_a_file_is_finite(gain: float) -> None:
    with pytest.raises(DecodingError, match="gain must be"):
        decoded(Calibration, {"gain": gain, "sigma_ln": 0.1})

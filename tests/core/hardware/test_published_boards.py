"""Boards whose power sensor was compared with an external meter, by the names that NVML gives."""

from __future__ import annotations

import math

import pytest

from carbon_core import methods
from carbon_core.hardware.nvml.published import is_published


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090",
        "GeForce RTX 3090",
        "NVIDIA GeForce RTX 3070 Ti",
        "geforce rtx 2080Ti",
        "NVIDIA GeForce RTX 2060 SUPER",
        "GeForce GTX 1080",
        "NVIDIA GeForce GTX 1080 Ti",
        "Tesla P100-PCIE-16GB",
        "Tesla P100-SXM2-16GB",
        "NVIDIA A100-SXM4-40GB",
        "A100-PCIE-40GB",
        "NVIDIA RTX A5000",
        "Tesla K80",
        "Tesla K40m",
        "Tesla M40 24GB",
        "NVIDIA GeForce GTX TITAN X",
        "NVIDIA TITAN Xp",
    ],
)
def test_published(name: str) -> None:
    assert is_published(name)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB HBM3",
        "NVIDIA A100-SXM4-80GB",
        "NVIDIA A100 80GB PCIe",
        "A100-SXM-64GB",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 3070",
        "NVIDIA GeForce RTX 2060",
        "GeForce GTX 1080 with Max-Q Design",
        "NVIDIA RTX A5000 Laptop GPU",
        "Quadro RTX 5000",
        "NVIDIA TITAN X (Pascal)",
        "NVIDIA A40",
        "Tesla V100-SXM2-32GB",
        "Quadro K620",
        "NVIDIA GPU",
        "GPU 14090",
        "",
    ],
)
def test_not_published(name: str) -> None:
    assert not is_published(name)


def test_the_uncertainty_of_others_is_a_fifth_larger() -> None:
    assert methods.NVML_ENERGY_UNPUBLISHED.sigma_ln == pytest.approx(0.06)
    power = methods.UNPUBLISHED[methods.NVML_POWER]
    assert power.sigma_ln == pytest.approx(math.sqrt(0.055**2 + 0.06**2 - 0.05**2))
    assert (power.name, power.grade) == ("nvml.power", "B")

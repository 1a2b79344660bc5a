"""The callback in the package ``pytorch_lightning``."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import pytest

pl = pytest.importorskip("pytorch_lightning")

from adapters.lightning_cli_contract import LightningCliContract
from adapters.lightning_contract import LightningContract, LightningFramework
from adapters.lightning_ways import LightningWays

import carbon_callbacks.pytorch_lightning  # noqa: F401 - the framework looks it up by name


class TestPytorchLightning(LightningContract):
    framework = LightningFramework("pytorch_lightning", pl, pl.loggers)


class TestPytorchLightningWays(LightningWays):
    framework = TestPytorchLightning.framework


class TestLightningCli(LightningCliContract):
    package = "pytorch_lightning"
    callback = "carbon_callbacks.pytorch_lightning.EmissionsCallback"

"""The callback in the package ``lightning``."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import pytest

pl = pytest.importorskip("lightning.pytorch")

from adapters.lightning_cli_contract import LightningCliContract
from adapters.lightning_contract import LightningContract, LightningFramework
from adapters.lightning_ways import LightningWays

import carbon_callbacks.lightning  # noqa: F401 - the framework looks it up by name


class TestLightning(LightningContract):
    framework = LightningFramework("lightning", pl, pl.loggers)


class TestLightningWays(LightningWays):
    framework = TestLightning.framework


class TestLightningCli(LightningCliContract):
    package = "lightning.pytorch"
    callback = "carbon_callbacks.lightning.EmissionsCallback"

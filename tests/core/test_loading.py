"""What a program loads by importing, making and starting a tracker: modules, not times."""

from __future__ import annotations

import ctypes
import sys

import pytest
from fresh_interpreter import loaded

IMPORTED = "from carbon_callbacks import EmissionsTracker"
MADE = f"{IMPORTED}; tracker = EmissionsTracker(country_iso_code='FRA')"
STARTED = f"""
{MADE}
tracker.start()
tracker.flush()
tracker.stop()
"""
# What these modules of Python load by themselves differs between its versions.
USED = "import contextlib, csv, ctypes, datetime, json, pathlib, platform, queue, threading, typing"
# Of the core; everything else is loaded when a tracker is made or a run begins.
OF_THE_IMPORT = {
    "carbon_core",
    "carbon_core.assemble",
    "carbon_core.assemble.trackers",
    "carbon_core.config",
    "carbon_core.config.lazy_signature",
    "carbon_core.errors",
    "carbon_core.escaping",
    "carbon_core.identifiers",
    "carbon_core.interruptions",
    "carbon_core.messages",
    "carbon_core.tracker",
    "carbon_core.tracker.codecarbon_views",
    "carbon_core.tracker.prepared_start",
    "carbon_core.tracker.run_slot",
    "carbon_core.tracker.status",
    "carbon_core.tracker.tracker",
    "carbon_core.units",
}
# Each takes milliseconds, by itself or by what it imports.
SLOW = {
    "argparse", "ast", "asyncio", "bz2", "dataclasses", "decimal", "difflib", "email", "hashlib", "http",
    "importlib.metadata", "importlib.resources", "inspect", "logging", "lzma", "multiprocessing",
    "pkgutil", "random", "ssl", "tempfile", "unittest", "uuid", "xml", "zipfile",
}  # fmt: skip
LIBRARIES = {"amdsmi", "filelock", "numpy", "psutil", "pynvml", "requests", "torch", "urllib3"}


def of_the_core(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "carbon_core"}


def test_importing_the_tracker_loads_its_class_only():
    modules = loaded(IMPORTED)
    assert of_the_core(modules) == OF_THE_IMPORT
    assert not modules & (SLOW | LIBRARIES | {"csv", "datetime", "json", "pathlib", "platform"})


def test_making_a_tracker_loads_the_settings_and_no_part_of_a_run():
    modules = loaded(MADE)
    assert not modules & LIBRARIES
    assert modules & SLOW <= loaded(USED)
    parts = ("hardware", "ledger", "outputs", "records", "report", "sampler", "tracker.emissions")
    prefixes = tuple(f"carbon_core.{part}" for part in parts)
    assert not [name for name in modules if name.startswith(prefixes)]


def test_importing_a_callback_loads_no_output():
    modules = loaded("import carbon_callbacks._receipt_artifacts, carbon_callbacks.training")
    assert not modules & LIBRARIES
    prefixes = ("carbon_core.outputs", "carbon_core.report", "carbon_core.hardware")
    assert not [name for name in modules if name.startswith(prefixes)]


@pytest.mark.skipif(sys.platform != "linux", reason="files of Linux replace psutil")
def test_a_default_run_without_nvidia_loads_no_library(tmp_path):
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is an NVIDIA driver")
    modules = loaded(STARTED, tmp_path)
    assert not modules & LIBRARIES
    assert modules & SLOW <= loaded(USED)
    assert (tmp_path / "emissions.csv").exists()


def test_a_start_after_preparing_loads_nothing_more_of_the_package(tmp_path):
    prepared = f"{MADE}; tracker.prepare(60.0)"
    before = loaded(prepared, tmp_path)
    assert "carbon_core.tracker.run" in before
    started = f"{prepared}; tracker.start(); tracker.mark('one'); tracker.window('two').close()"
    assert of_the_core(loaded(started, tmp_path)) - before == set()

"""The same files, variables and arguments, through CodeCarbon and through this project.

Every difference must be one of the table in `differences`; `nox -s compat` runs this.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compat.differences import ALL, DIFFERENCES, REFUSED_FILES, Case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbon_callbacks import ConfigError, EmissionsTracker, OfflineEmissionsTracker
from carbon_core.config.schema import KEYS, SAVE_TO

codecarbon = pytest.importorskip("codecarbon", reason="installed by `nox -s compat`")
if codecarbon.__version__ != "3.3.2":
    pytest.skip("compared with 3.3.2", allow_module_level=True)

NAME = ".codecarbon.config"
UUID = "235b1da5-aaaa-4aaa-8aaa-893681599d2c"
TEXTS = ["mine", "a = b", "two words", '"quoted"', "100%", "", "x # y", "é", " padded "]
BOOLEANS = ["true", "True", "false", "yes", "1", "no", "perhaps", ""]
NUMBERS = ["10", "1.5", "0", "-1", "1e1", "nan", "inf", "abc", "", "1.2 ; site", "1_000"]
TOKENS = ["token-a", "token-b", ""]
# What is written for each key of CodeCarbon, in files and variables.
WRITTEN: dict[str, list[str]] = {
    "project_name": TEXTS,
    "experiment_name": TEXTS,
    "output_file": ["results.csv", "a b.csv"],
    "logger_preamble": TEXTS,
    "region": TEXTS,
    "cloud_provider": ["gcp", "aws", ""],
    "cloud_region": ["us-central1", ""],
    "country_iso_code": ["FRA", "USA", "France", ""],
    "country_2letter_iso_code": ["FR", "US", ""],
    "measure_power_secs": NUMBERS,
    "force_cpu_power": NUMBERS,
    "force_ram_power": NUMBERS,
    "pue": NUMBERS,
    "wue": NUMBERS,
    "force_carbon_intensity_g_co2e_kwh": NUMBERS,
    "api_call_interval": ["4", "-1", "0", "1.5", "abc"],
    "save_to_file": BOOLEANS,
    "save_to_api": ["false", "no"],
    "save_to_logger": BOOLEANS,
    "save_to_prometheus": BOOLEANS,
    "save_to_logfire": ["false", "no"],
    "force_mode_cpu_load": BOOLEANS,
    "rapl_include_dram": BOOLEANS,
    "rapl_prefer_psys": BOOLEANS,
    "output_methods": ["csv", "csv, logger", "prometheus", "", "CSV", "xml"],
    "tracking_mode": ["machine", "process", "Process", "bogus"],
    "on_csv_write": ["append", "update"],
    "log_level": ["debug", "WARNING", "error", "loud", "warn", "Fatal", "notset", "10"],
    "gpu_ids": ["0, 1", "[0, 1, 2", "GPU-5d1f2a3b", "MIG-f1e", "", "all"],
    "api_endpoint": ["https://api.example", "localhost:8000"],
    "api_key": TOKENS,
    "emissions_endpoint": ["http://127.0.0.1:1/x", "localhost:7777", ""],
    "prometheus_url": ["localhost:1", "http://127.0.0.1:1"],
    "experiment_id": [UUID, "my experiment", "7", ""],
    "electricitymaps_api_token": TOKENS,
    "co2_signal_api_token": TOKENS,
}
ARGUMENTS: dict[str, list[Any]] = {
    "project_name": ["argument", "", None, 7, 1.5],
    "experiment_id": [UUID, "mine", 7, uuid.UUID(UUID), ""],
    "experiment_name": ["mine", 7],
    "logger_preamble": ["", "x", 7],
    "emissions_endpoint": [False, None, "", "http://127.0.0.1:1/x"],
    "api_endpoint": ["https://api.example"],
    "prometheus_url": ["localhost:1"],
    "api_key": ["key", "", None],
    "output_file": ["results.csv"],
    "on_csv_write": ["append", "update"],
    "wue": [0, 1.5],
    "force_ram_power": [10, 0, None],
    "force_carbon_intensity_g_co2e_kwh": [0, 50, None],
    "rapl_include_dram": [True],
    "rapl_prefer_psys": [False],
    "force_mode_cpu_load": [True, False],
    "measure_power_secs": [5, 2.5, "7"],
    "force_cpu_power": [42, None, "42"],
    "pue": [1.5, None],
    "api_call_interval": [4, -1, 0],
    "save_to_file": [True, False],
    "output_methods": [None, [], [codecarbon.OutputMethod.CSV]],
    "tracking_mode": ["process"],
    "log_level": ["ERROR", 10, "warn", "FATAL", "notset", 0],
    "gpu_ids": [[0, 1], [], "0, 1", ["GPU-5d1f2a3b", 1], None],
    "electricitymaps_api_token": ["token-c", None],
    "co2_signal_api_token": ["token-d"],
    "country_iso_code": ["DEU"],
    "region": ["ohio"],
    "metadata": [{"boamps": {}}, None],
}
ONLY_OFFLINE = {
    "country_iso_code",
    "country_2letter_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
}
# Lines that CodeCarbon's parser refuses.
BROKEN = ["no setting at all", "[codecarbon", "pue = 1\npue = 2"]
_SOURCES = ("home", "local", "environment", "arguments")


@st.composite
def sources(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Draw what each source holds: any keys in any order."""
    drawn: dict[str, dict[str, Any]] = {}
    for source in _SOURCES:
        choices = ARGUMENTS if source == "arguments" else WRITTEN
        names = draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=8))
        drawn[source] = {name: draw(st.sampled_from(choices[name])) for name in names}
    return drawn


@st.composite
def styles(draw: st.DrawFn) -> tuple[str, str, bool]:
    """Draw how a file is written: separator, line end, and keys in capitals."""
    separator = draw(st.sampled_from([" = ", "=", ": ", " =\t"]))
    return separator, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())


@contextlib.contextmanager
def world(drawn: dict[str, dict[str, Any]], style: tuple[str, str, bool]) -> Iterator[None]:
    """Make the files and variables be those of this process, for a while."""
    separator, newline, capitals = style
    before, directory = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        for source in ("home", "local"):
            place = Path(temporary, source)
            place.mkdir()
            lines = ["# written by a test", "[codecarbon]"]
            for key, value in drawn[source].items():
                lines.append(f"{key.upper() if capitals else key}{separator}{value}")
            (place / NAME).touch(0o600)
            (place / NAME).write_bytes((newline.join(lines) + newline).encode())
        for name in list(os.environ):
            if name.upper().startswith("CODECARBON_") or name.endswith("_VISIBLE_DEVICES"):
                del os.environ[name]
        for key, value in drawn["environment"].items():
            os.environ[f"CODECARBON_{key.upper()}"] = value
        os.environ["HOME"] = str(Path(temporary, "home"))
        os.chdir(Path(temporary, "local"))
        try:
            yield
        finally:
            os.chdir(directory)
            os.environ.clear()
            os.environ.update(before)


def theirs(arguments: dict[str, Any], *, offline: bool) -> dict[str, Any] | Exception:
    """Return CodeCarbon's settings, or what its constructor raised."""
    kind = codecarbon.OfflineEmissionsTracker if offline else codecarbon.EmissionsTracker
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tracker = kind(**arguments)
    except Exception as error:
        return error
    finally:
        logging.disable(logging.NOTSET)
    if not hasattr(tracker, "run_id"):
        return AttributeError("the offline tracker swallowed an exception and is half made")
    found = dict(tracker._conf)
    found["electricitymaps_api_token"] = tracker._electricitymaps_api_token
    found["outputs"] = {method.value for method in tracker._output_methods or ()}
    return found


def ours(arguments: dict[str, Any], *, offline: bool) -> dict[str, Any] | ConfigError:
    """Return our settings, or what the constructor raised."""
    try:
        kind = OfflineEmissionsTracker if offline else EmissionsTracker
        found = kind(**arguments).settings
    except ConfigError as error:
        return error
    outputs = set(found.outputs())
    return {**{key: getattr(found, key) for key in KEYS}, "outputs": outputs}


def same(key: str, their_value: Any, our_value: Any) -> bool:
    """Tell whether two values mean the same, in the types that each of them uses."""
    if isinstance(their_value, Exception):
        return False
    if key == "gpu_ids" and their_value is not None and our_value is not None:
        return [str(gpu) for gpu in their_value] == [str(gpu) for gpu in our_value]
    if key in {"log_level", *ONLY_OFFLINE}:
        return str(their_value).lower() == str(our_value).lower()
    return bool(their_value == our_value)


def written(drawn: dict[str, dict[str, Any]], key: str) -> list[tuple[str, Any]]:
    """Return source and value of a key, lowest first; a deprecated name below the new one."""
    old = KEYS[key].replaces
    names = [name for name in (old, key) if name]
    return [(source, drawn[source][name]) for name in names for source in _SOURCES
            if name in drawn[source]]  # fmt: skip


def compared(drawn: dict[str, dict[str, Any]], *, offline: bool) -> list[Case]:
    """Return a case for each key in which both differ."""
    arguments = dict(drawn["arguments"])
    if not offline:
        arguments = {key: value for key, value in arguments.items() if key not in ONLY_OFFLINE}
    drawn = {**drawn, "arguments": arguments}
    their, our = theirs(arguments, offline=offline), ours(arguments, offline=offline)
    cases = []
    assert not isinstance(our, ConfigError), our
    # Where `output_methods` decides, what each `save_to_…` says is of no account to either.
    moot = SAVE_TO if our["output_methods"] is not None else {"output_methods"}
    for key in sorted((WRITTEN.keys() | ARGUMENTS) & KEYS.keys() - set(moot)):
        found = written(drawn, key)
        meaning = "outputs" if key == "output_methods" else key
        their_value = their if isinstance(their, Exception) else their.get(meaning)
        if not same(key, their_value, our[meaning]):
            from_argument = bool(found) and found[-1][0] == "arguments"
            values = [value for _, value in found]
            cases.append(Case(key, values, from_argument, offline, their_value, our[meaning]))
    return cases


def explanation(case: Case) -> str | None:
    raised = isinstance(case.theirs, Exception)
    rows = [item for item in DIFFERENCES if item.gives_up or not raised]
    return next((item.what for item in rows if item.holds(case)), None)


SEEN: Counter[str] = Counter()


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(sources(), styles(), st.booleans())
def test_every_difference_is_in_the_table(
    drawn: dict[str, dict[str, Any]], style: tuple[str, str, bool], offline: bool
) -> None:
    with world(drawn, style):
        cases = compared(drawn, offline=offline)
    # Where CodeCarbon's constructor gives up over one value, there is nothing to compare but
    # whether that value is one of the table.
    gave_up = [case for case in cases if isinstance(case.theirs, Exception)]
    explained = {case.key: explanation(case) for case in cases}
    if gave_up:
        assert any(explained.values()), gave_up[0].theirs
        SEEN[f"gave up: {type(gave_up[0].theirs).__name__}"] += 1
        return
    assert [case for case in cases if not explained[case.key]] == []
    SEEN.update(what for what in explained.values() if what)
    SEEN["alike"] += len(WRITTEN) - len(cases)


def test_the_comparison_saw_likeness_and_every_row_that_it_can(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not SEEN:
        pytest.skip("the comparison above was not run")
    with capsys.disabled():
        print()
        for what, count in SEEN.most_common():
            print(f"{count:6d}  {what}")
    assert SEEN["alike"] > 1000
    assert sum(what in SEEN for what in [item.what for item in DIFFERENCES]) >= 8


@pytest.mark.parametrize("broken", BROKEN)
def test_files_that_codecarbon_refuses_count_here(broken: str) -> None:
    drawn: dict[str, dict[str, Any]] = {source: {} for source in _SOURCES}
    drawn["local"] = {"wue": f"3\n{broken}"}
    with world(drawn, (" = ", "\n", False)):
        assert isinstance(theirs({}, offline=False), Exception)
        assert isinstance(theirs({}, offline=True), Exception)
        found = ours({}, offline=False)
        assert isinstance(found, dict)
        assert found["wue"] == 3
    assert REFUSED_FILES in ALL


def test_every_argument_of_codecarbon_is_a_setting_in_the_same_place() -> None:
    for kind in (codecarbon.EmissionsTracker, codecarbon.OfflineEmissionsTracker):
        names = set(inspect.signature(kind.__init__).parameters) - {"self", "args", "kwargs"}
        assert names <= KEYS.keys() | {key.replaces for key in KEYS.values()}
    decorator = set(inspect.signature(codecarbon.track_emissions).parameters) - {"fn", "offline"}
    assert decorator <= KEYS.keys() | {key.replaces for key in KEYS.values()}
    from carbon_core.assemble.trackers import _POSITIONAL

    order = list(inspect.signature(codecarbon.EmissionsTracker.__init__).parameters)[1:]
    assert list(_POSITIONAL) == order

"""The shipped tables beside what packages of the index say."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("codecarbon")
pytest.importorskip("pycountry")
pytest.importorskip("tzdata")

_TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_data.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_data", _TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_data"] = module
    spec.loader.exec_module(module)
    return module


def test_no_code_is_wrong_and_few_figures_have_drifted(tool: ModuleType) -> None:
    drifts = list(tool.all_drifts())
    assert [drift for drift in drifts if drift.is_wrong] == []
    tables = Counter(drift.table for drift in drifts)
    assert tables["time_zone"] == 0
    assert tables["grid_country"] < 60
    assert tables["cloud_region"] < 5
    assert tables["cpu_tdp"] < 20


def test_what_has_drifted_is_found(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "grid_country": [
            {"iso2": "FR", "iso3": "DEU", "g_per_kwh": ""},
            {"iso2": "PL", "iso3": "POL", "g_per_kwh": "5", "year": "2025"},
        ],
        "time_zone": [{"time_zone": "Europe/Paris", "iso2": "DE"}],
        "cloud_region": [{"provider": "gcp", "region": "asia-east1", "iso2": "FR"}],
        "cpu_tdp": [{"key": "1075t", "tdp_w": "950"}],
    }

    def rows(name: str) -> Iterator[dict[str, str]]:
        yield from tables.get(name, [])

    monkeypatch.setattr(tool, "rows", rows)
    told = [drift.what for drift in tool.all_drifts()]
    wrong = [drift.what for drift in tool.all_drifts() if drift.is_wrong]
    assert wrong == ["FR is not DEU in ISO 3166", "Europe/Paris is DE, in tzdata FR"]
    assert any(text.startswith("POL 5 (2025), CodeCarbon") for text in told)
    assert "gcp asia-east1 is in FR, CodeCarbon TW" in told
    assert any("1075T: 950 W, CodeCarbon 95 W" in text for text in told)

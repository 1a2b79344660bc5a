"""WattTime: a marginal signal beside the emissions, never within."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from faults.children import receipts
from faults.server import Server

from carbon_callbacks import EmissionsTracker
from carbon_core.errors import IntensityError
from carbon_core.intensity.watttime import WattTime
from carbon_core.testing import FakeFetch

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
LOGIN = {"token": "t0ken"}


def values(*told: Any, units: str = "lbs_co2_per_mwh") -> dict[str, Any]:
    data = [{"point_time": "2026-01-01T12:00:00+00:00", "value": value} for value in told]
    return {"data": data, "meta": {"units": units, "region": "CAISO_NORTH"}}


def source(*answers: Any, url: str = "https://wt") -> tuple[WattTime, FakeFetch]:
    fetch = FakeFetch(*answers)
    return WattTime(fetch, url, "ada", "sesame", "CAISO_NORTH"), fetch


def test_the_mean_over_the_run_in_grams_per_kwh() -> None:
    watttime, fetch = source(LOGIN, values(1000, 0, -100.0))
    found = watttime.marginal(NOON, NOON + HOUR)
    assert found.g_per_kwh == pytest.approx(300 * 0.45359237)
    assert (found.place, found.source) == ("CAISO_NORTH", "WattTime")
    login, historical = fetch.requests
    basic = base64.b64encode(b"ada:sesame").decode()
    assert login == ("https://wt/login", {}, {"Authorization": f"Basic {basic}"})
    assert historical[0] == "https://wt/v3/historical"
    assert historical[1] == {
        "region": "CAISO_NORTH",
        "signal_type": "co2_moer",
        "start": "2026-01-01T12:00+00:00",
        "end": "2026-01-01T13:00+00:00",
    }
    assert historical[2] == {"Authorization": "Bearer t0ken"}


def test_a_short_run_asks_for_a_quarter_of_an_hour_and_a_long_one_in_pieces() -> None:
    watttime, fetch = source(LOGIN, values(100))
    watttime.marginal(NOON, NOON + timedelta(seconds=5))
    assert fetch.requests[1][1]["start"] == "2026-01-01T11:45+00:00"
    watttime, fetch = source(LOGIN, values(100), values(300))
    found = watttime.marginal(NOON, NOON + timedelta(days=3))
    assert len(fetch.requests) == 3
    assert found.g_per_kwh == pytest.approx(200 * 0.45359237)


@pytest.mark.parametrize(
    "answers",
    [
        ([],),
        ({"token": 7},),
        (IntensityError("HTTP status 403"),),
        (LOGIN, {}),
        (LOGIN, values()),
        (LOGIN, values(1, units="percentile")),
        (LOGIN, {"data": [{"value": 1}]}),
        (LOGIN, values(1, None)),
        (LOGIN, values(float("nan"))),
        (LOGIN, values("1")),
    ],
    ids=str,
)
def test_what_is_no_answer_is_refused(answers: Any) -> None:
    with pytest.raises(IntensityError) as caught:
        source(*answers)[0].marginal(NOON, NOON + HOUR)
    assert "sesame" not in str(caught.value)


def test_no_password_is_sent_without_encryption() -> None:
    watttime, fetch = source(LOGIN, url="http://wt.example")
    with pytest.raises(IntensityError, match="watttime_url must be https"):
        watttime.marginal(NOON, NOON + HOUR)
    assert fetch.requests == []


# --- through the tracker -------------------------------------------------------------------------


class Service(Server):
    def respond(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        super().respond(method, path, headers)
        answer = LOGIN if path == "/login" else values(1000)
        return 200, {}, json.dumps(answer).encode()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def run(out: Path, **settings: Any) -> dict[str, Any]:
    account = {"watttime_username": "ada", "watttime_password": "sesame"}
    defaults = {
        "watttime_region": "CAISO_NORTH",
        "log_level": "error",
        "shutdown_timeout_s": 20.0,
    }
    tracker = EmissionsTracker(
        country_iso_code="USA", output_dir=str(out), **account, **{**defaults, **settings}
    )
    tracker.start()
    time.sleep(0.2)
    tracker.stop()
    (receipt,) = receipts(out)
    return receipt


def test_it_stands_beside_the_emissions_and_changes_nothing(
    service: Service, tmp_path: Path
) -> None:
    receipt = run(tmp_path, watttime_url=service.url)
    assert receipt["marginal_intensity"]["g_per_kwh"] == pytest.approx(453.59237)
    [price] = receipt["intensities"]
    kwh = receipt["energy_kwh"]["value"]
    assert receipt["emissions_kg"]["value"] == pytest.approx(kwh * price["g_per_kwh"] / 1000)
    assert price["source"] != "WattTime"
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "sesame" not in written


def test_without_a_region_it_is_not_asked_and_that_is_said(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receipt = run(tmp_path, watttime_url=service.url, watttime_region=None, log_level="warning")
    assert receipt["marginal_intensity"] is None
    assert service.asked == []
    assert caplog.text.count("WattTime needs watttime_username") == 1

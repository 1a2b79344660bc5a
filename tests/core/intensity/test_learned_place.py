"""The place as the network tells it: a cloud's metadata service, or the machine's public address."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults.children import receipts
from faults.lab import eventually, lab, said
from faults.server import Server

from carbon_callbacks import EmissionsTracker, OfflineEmissionsTracker
from carbon_core.assemble import grid
from carbon_core.intensity import cloud_metadata
from carbon_core.outputs import journal
from carbon_core.tracker.parts import Parts

Answer = Callable[[str, str, Any], "tuple[int, str]"]


def aws(method: str, path: str, headers: Any) -> tuple[int, str]:
    """Answer as an EC2 machine that insists on version 2."""
    if (method, path) == ("PUT", "/latest/api/token"):
        return (200, "t0ken") if headers["X-aws-ec2-metadata-token-ttl-seconds"] else (400, "")
    if path == "/latest/dynamic/instance-identity/document":
        told = {"region": "eu-west-3", "accountId": "123456789012", "instanceId": "i-1"}
        return (
            (200, json.dumps(told)) if headers["X-aws-ec2-metadata-token"] == "t0ken" else (401, "")
        )
    return 404, "not here"


def azure(method: str, path: str, headers: Any) -> tuple[int, str]:
    """Answer as an Azure machine."""
    if (
        path == "/metadata/instance/compute?api-version=2021-02-01"
        and headers["Metadata"] == "true"
    ):
        return 200, json.dumps({"location": "westeurope", "subscriptionId": "secret"})
    return 400, "bad request"


def gcp(method: str, path: str, headers: Any) -> tuple[int, str]:
    """Answer as a Compute Engine machine."""
    if path == "/computeMetadata/v1/instance/zone" and headers["Metadata-Flavor"] == "Google":
        return 200, "projects/1234/zones/us-central1-a"
    return 403, "missing header"


class Metadata(Server):
    """A loopback stand-in for the link-local address; also for a service that knows addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Answer = lambda method, path, headers: (404, "")

    def respond(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        super().respond(method, path, headers)
        status, text = self.answers(method, path, headers)
        return status, {}, text.encode()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    made = Metadata()
    monkeypatch.setattr(cloud_metadata, "BASE", made.url)
    grid._cloud_place.cache_clear()
    yield made
    grid._cloud_place.cache_clear()
    made.close()


def measured(out: Path, **settings: Any) -> tuple[EmissionsTracker, Any]:
    """Return the tracker of a short run that ended, and its receipt."""
    # Long enough for any answer, on however busy a machine: the run ends as soon as it has come.
    patience = {"log_level": "error", "shutdown_timeout_s": 20.0}
    tracker = EmissionsTracker(output_dir=str(out), **{**patience, **settings})
    tracker.start()
    time.sleep(0.1)
    tracker.stop()
    return tracker, receipts(out)[-1]


@pytest.mark.parametrize(
    ("answer", "place", "country"),
    [(aws, "eu-west-3", "FRA"), (azure, "westeurope", "NLD"), (gcp, "us-central1", "USA")],
)
def test_a_clouds_own_service_says_where_the_machine_is(
    metadata: Metadata, tmp_path: Path, answer: Answer, place: str, country: str
) -> None:
    metadata.answers = answer
    tracker, receipt = measured(tmp_path, geolocation="cloud")
    assert receipt["run"]["country_iso_code"] == country
    row = tracker.final_emissions_data
    assert row is not None
    assert (row.on_cloud, row.cloud_provider, row.cloud_region) == ("Y", answer.__name__, place)
    assert row.country_iso_code == country
    [price] = receipt["intensities"]
    assert place in price["note"]
    assert "metadata service" in price["note"]
    assert price["energy_kwh"] == pytest.approx(receipt["hardware_energy_kwh"]), "from the start on"
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(
        secret in written for secret in ("123456789012", "secret", "1234/zones", "t0ken")
    )


@pytest.mark.parametrize(
    ("settings", "pue"),
    [({}, 1.0), ({"cloud_pue": True}, 1.1), ({"cloud_pue": True, "pue": 1.5}, 1.5)],
    ids=str,
)
def test_the_clouds_published_pue_counts_where_the_user_allows_it_and_sets_none(
    metadata: Metadata, tmp_path: Path, settings: dict[str, Any], pue: float
) -> None:
    metadata.answers = gcp
    _, learned = measured(tmp_path / "a", geolocation="cloud", **settings)
    region = {"cloud_provider": "gcp", "cloud_region": "us-central1"}
    _, told = measured(tmp_path / "b", **region, **settings)
    for receipt in (learned, told):
        assert receipt["run"]["pue"] == pue
        kwh = receipt["energy_kwh"]["value"]
        assert kwh == pytest.approx(receipt["hardware_energy_kwh"] * pue)
        [price] = receipt["intensities"]
        grams = kwh * price["g_per_kwh"]
        assert receipt["emissions_kg"]["value"] == pytest.approx(grams / 1000)


def test_the_journal_knows_the_place_that_was_learned(metadata: Metadata, tmp_path: Path) -> None:
    metadata.answers = gcp
    measured(tmp_path, geolocation="cloud")
    (kept,) = tmp_path.rglob("*.journal.jsonl")
    assert journal.read(kept).run.country_iso_code == "USA"


def test_the_offline_tracker_asks_nobody(metadata: Metadata, tmp_path: Path) -> None:
    metadata.answers = gcp
    tracker = OfflineEmissionsTracker(
        output_dir=str(tmp_path),
        log_level="error",
        geolocation="ip",
        geolocation_url=metadata.url,
        intensity_source="gb_carbon_intensity",
        intensity_url=metadata.url,
        watttime_username="ada",
        watttime_password="sesame",
        watttime_region="CAISO_NORTH",
        watttime_url=metadata.url,
    )
    tracker.start()
    time.sleep(0.2)
    tracker.stop()
    assert metadata.asked == []


@pytest.mark.parametrize("announced", [1000, 10_000_000])
def test_a_metadata_service_that_breaks_off_or_goes_on_for_ever_is_survived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, announced: int
) -> None:
    grid._cloud_place.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        monkeypatch.setattr(
            cloud_metadata, "BASE", f"http://127.0.0.1:{listening.getsockname()[1]}"
        )
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode()

        def answer() -> None:
            for _ in range(3):
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(4096)
                    connection.sendall(head + b"x" * min(announced // 2, 100_000))

        server = threading.Thread(target=answer)
        server.start()
        _, receipt = measured(tmp_path, geolocation="cloud")
        server.join()
    assert [price["kind"] for price in receipt["intensities"]] == ["world"]
    grid._cloud_place.cache_clear()


def test_an_answer_that_comes_after_the_end_changes_nothing() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def learn(parts: Parts) -> Parts:
        asked.set()
        may_answer.wait(10)
        return replace(parts, assumed=replace(parts.assumed, g_per_kwh=1.0))

    tracker, clock = lab(1000.0, learn_place=learn, shutdown_timeout_s=0.2)
    tracker.start()
    assert asked.wait(5)
    clock.advance(3600)
    assert tracker.stop() == pytest.approx(1.0)
    assert any("no place or marginal intensity: no response" in line for line in said(tracker))
    may_answer.set()
    report = tracker.final_report
    assert report is not None
    assert eventually(lambda: not [t for t in threading.enumerate() if "network" in t.name])
    assert report.intensity_g_per_kwh == 1000.0
    assert tracker.final_emissions == pytest.approx(1.0)
    assert not any(line.startswith("1.00 g CO2e/kWh") for line in said(tracker))


def test_it_is_asked_once_in_a_process(metadata: Metadata, tmp_path: Path) -> None:
    metadata.answers = gcp
    measured(tmp_path / "a", geolocation="cloud")
    count = len(metadata.asked)
    _, receipt = measured(tmp_path / "b", geolocation="cloud")
    assert len(metadata.asked) == count > 0
    assert receipt["run"]["country_iso_code"] == "USA"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"geolocation": "local"},
        {"geolocation": "off"},
        {"geolocation": "cloud", "country_iso_code": "FRA"},
        {"geolocation": "cloud", "electricitymaps_zone": "FR"},
        {"geolocation": "ip", "force_carbon_intensity_g_co2e_kwh": 50},
        {"geolocation": "ip", "cloud_provider": "aws", "cloud_region": "eu-west-3"},
    ],
    ids=str,
)
def test_nobody_is_asked_unless_the_settings_leave_the_place_open_and_allow_it(
    metadata: Metadata, tmp_path: Path, settings: dict[str, Any]
) -> None:
    metadata.answers = aws
    measured(tmp_path, geolocation_url=metadata.url, **settings)
    assert metadata.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda method, path, headers: (404, "nothing"),
        lambda method, path, headers: (200, "<html>a captive portal</html>"),
        lambda method, path, headers: (200, json.dumps({"region": None, "location": 7})),
        lambda method, path, headers: (
            200,
            json.dumps({"region": "../../etc", "location": "x" * 99}),
        ),
    ],
)
def test_what_is_no_cloud_changes_nothing(
    metadata: Metadata, tmp_path: Path, answer: Answer
) -> None:
    metadata.answers = answer
    _, receipt = measured(tmp_path, geolocation="cloud")
    assert metadata.asked
    assert [price["kind"] for price in receipt["intensities"]] == ["world"]
    assert receipt["run"]["country_iso_code"] == ""


@pytest.mark.slow
def test_a_metadata_service_that_never_answers_costs_start_nothing_and_stop_little(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grid._cloud_place.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(cloud_metadata, "BASE", f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracker = EmissionsTracker(output_dir=str(tmp_path), log_level="error", geolocation="cloud")
        began = time.monotonic()
        tracker.start()
        started = time.monotonic()
        tracker.stop()
        ended = time.monotonic()
        assert started - began <= 0.5
        assert ended - started <= 2.5
        assert tracker.final_emissions is not None
    grid._cloud_place.cache_clear()


def test_the_public_address_tells_the_country_where_the_user_allows_it(
    metadata: Metadata, tmp_path: Path
) -> None:
    told = {
        "country_code": "CA",
        "region": "Quebec",
        "latitude": "45.50884",
        "longitude": "-73.58781",
        "ip": "192.0.2.7",
    }
    metadata.answers = lambda method, path, headers: (
        (200, json.dumps(told)) if path == "/geo.json" else (404, "")
    )
    url = f"{metadata.url}/geo.json"
    _, receipt = measured(tmp_path, geolocation="ip", geolocation_url=url)
    assert (receipt["run"]["country_iso_code"], receipt["run"]["region"]) == ("CAN", "quebec")
    assert receipt["run"]["country_name"] == "Canada"
    assert "public address" in receipt["intensities"][0]["note"]
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(secret in written for secret in ("45.5", "73.5", "192.0.2.7"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"country_code": 7}', '{"country_code": "<x"}'])
def test_a_service_that_tells_no_country_is_said_once(
    metadata: Metadata, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    metadata.answers = lambda method, path, headers: (
        (200, text) if path == "/geo.json" else (404, "")
    )
    url = f"{metadata.url}/geo.json"
    tracker, _ = measured(tmp_path, log_level="warning", geolocation="ip", geolocation_url=url)
    assert caplog.text.count("the location is unknown") == 1
    assert tracker.final_emissions_data is not None
    assert tracker.final_emissions_data.country_name is None
    assert tracker.final_emissions_data.intensity_place == "world"

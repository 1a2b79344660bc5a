"""Servers that never answer, or answer badly: bounded, said once, and the energy is priced anyway."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.children import Ended, receipts, rows
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, said, steady
from faults.server import FRANCE_G, Server

from carbon_core.errors import IntensityError
from carbon_core.hours import iso_hour
from carbon_core.intensity import tables
from carbon_core.outputs import journal
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.records import Intensity
from carbon_core.report import Report
from carbon_core.testing import FakeClock

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


LIVE = """
t = tracker(
    force_carbon_intensity_g_co2e_kwh=None, country_iso_code="FRA", measure_power_secs=0.1,
    electricitymaps_api_token="sesame", electricitymaps_url={url!r}, api_call_interval={every},
    shutdown_timeout_s={shutdown_s},
)
began = time.monotonic()
t.start()
started = time.monotonic()
time.sleep({seconds})
stopping = time.monotonic()
kilograms = t.stop()
say(started - began, time.monotonic() - stopping, kilograms, t.final_emissions_data.energy_consumed)
"""


def live(
    run: Run,
    url: str,
    every: int = -1,
    seconds: float = 0.5,
    shutdown_s: float = 2.0,
    **environ: str,
) -> list[float]:
    """Run a job that asks a server; return seconds of start, of stop, kilograms and kWh."""
    job = LIVE.format(url=url, every=every, seconds=seconds, shutdown_s=shutdown_s)
    ended = run(job, **environ)
    assert ended.status == 0, ended.err
    assert "sesame" not in ended.err
    lines = [line for line in ended.own_lines if "no live grid intensity" in line]
    assert len(lines) <= 1, lines
    return [*map(float, ended.out.split()), len(lines)]


def assert_static(out: Path, kilograms: float, kwh: float) -> None:
    (row,) = rows(out)
    (receipt,) = receipts(out)
    assert float(row["emissions"]) == pytest.approx(kilograms)
    assert [price["kind"] for price in receipt["intensities"]] == ["annual"]
    assert kilograms == pytest.approx(kwh * receipt["intensity_g_per_kwh"] / 1000)
    assert 0 < receipt["intensity_g_per_kwh"] < 200


def test_control_a_server_that_answers_prices_the_energy(
    run: Run, out: Path, server: Server
) -> None:
    start_s, stop_s, kilograms, kwh, said_lines = live(run, server.url)
    assert server.asked == [("/carbon-intensity/latest?zone=FR", "sesame")]
    assert kilograms == pytest.approx(kwh * FRANCE_G / 1000)
    assert (start_s <= 0.5, stop_s <= 2.5, said_lines) == (True, True, 0)
    assert [price["kind"] for price in receipts(out)[0]["intensities"]] == ["live"]


@pytest.mark.parametrize("every", [-1, 1])
def test_a_server_that_never_answers_costs_a_bounded_time(
    run: Run, out: Path, silent: str, every: int
) -> None:
    start_s, stop_s, kilograms, kwh, said_lines = live(run, silent, every, shutdown_s=0.5)
    assert start_s <= 0.5
    assert stop_s <= 1.0
    assert_static(out, kilograms, kwh)
    assert said_lines == 1, "that the static value is used is said, once"


def test_the_journal_goes_on_beside_a_server_that_never_answers(
    run: Run, out: Path, silent: str
) -> None:
    live(run, silent, every=1, seconds=1.0, shutdown_s=0.5)
    (journal,) = (out / "carbon_runs").glob("*.journal.jsonl")
    totals = [line for line in journal.read_text().splitlines() if '"totals"' in line]
    assert len(totals) >= 8


def test_a_server_that_is_not_there_is_said_once(run: Run, out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    _, stop_s, kilograms, kwh, said_lines = live(run, url, every=1)
    assert stop_s <= 2.5
    assert_static(out, kilograms, kwh)
    assert said_lines == 1


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (500, {}, b""),
        (401, {}, b'{"error": "bad token"}'),
        (200, {}, b"\xff\x00garbage"),
        (200, {}, b"[]"),
        (200, {}, b'{"zone": "FR", "carbonIntensity": "30"}'),
        (200, {}, b'{"zone": "FR", "carbonIntensity": NaN}'),
        (200, {}, b'{"zone": "FR", "carbonIntensity": 1e400}'),
        (200, {}, b'{"zone": "FR", "carbonIntensity": -5}'),
        (200, {}, b'{"zone": "FR", "carbonIntensity": null}'),
        (200, {}, b'{"zone": "DE", "carbonIntensity": 400}'),
        (200, {}, b"[" * 60000),
        (200, {}, b" " * 10_000_000),
        (200, {"Content-Encoding": "gzip"}, b"not gzip"),
        (302, {"Location": "/elsewhere"}, b""),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_bad_answer_leaves_the_static_value(
    tmp_path: Path, server: Server, status: int, headers: dict[str, str], body: bytes
) -> None:
    from carbon_core.clock import SystemClock
    from carbon_core.fetch import fetcher
    from carbon_core.intensity.electricity_maps import ElectricityMaps
    from carbon_core.intensity.live import BackoffSource

    server.answer = (status, headers, body)
    clock = FakeClock()
    maps = ElectricityMaps(fetcher(SystemClock()), server.url, "sesame", "FR")
    source = BackoffSource(maps, SystemClock())
    tracker = LabTracker(clock, lambda: [steady(clock)], live=source)
    tracker.start()
    clock.advance(3600)
    kilograms = tracker.stop()
    assert len(server.asked) == 1
    assert kilograms == pytest.approx(360_000 / JOULES_PER_KWH)
    assert sum("no live grid intensity" in line for line in said(tracker)) == 1, said(tracker)
    assert "sesame" not in " ".join(said(tracker))


def test_a_server_that_drips_does_not_hold_up_stop(run: Run, out: Path) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def drip() -> None:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                try:
                    while not over.wait(0.2):
                        connection.sendall(b" ")
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            _, stop_s, kilograms, kwh, said_lines = live(run, url, shutdown_s=0.5)
        finally:
            over.set()
            thread.join()
    assert stop_s <= 1.0
    assert_static(out, kilograms, kwh)
    assert said_lines == 1


def test_a_redirect_does_not_carry_the_token_away(run: Run, out: Path, server: Server) -> None:
    other = Server()
    try:
        server.answer = (307, {"Location": other.url}, b"")
        live(run, server.url)
        assert other.asked == []
    finally:
        other.close()


def test_a_token_is_sent_to_no_other_host_in_the_clear(run: Run) -> None:
    job = LIVE.format(url="http://example.invalid", every=-1, seconds=0.1, shutdown_s=2.0)
    ended = run(job)
    assert ended.status == 0, ended.err
    assert "must be https" in ended.err
    assert "sesame" not in ended.err


def test_a_dead_proxy_keeps_its_password(run: Run, out: Path, silent: str) -> None:
    proxy = silent.replace("http://", "http://user:swordfish@")
    script = LIVE.format(url="https://api.example.invalid", every=-1, seconds=0.2, shutdown_s=0.5)
    ended = run(script, HTTPS_PROXY=proxy, HTTP_PROXY=proxy)
    assert ended.status == 0, ended.err
    assert float(ended.out.split()[1]) <= 1.0
    assert "swordfish" not in ended.err
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"swordfish" in path.read_bytes()
    ]
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()
    ]


# --- sources without a token ---------------------------------------------------------------------

OTHER = """
t = tracker(
    force_carbon_intensity_g_co2e_kwh=None, country_iso_code={country!r}, region={region!r},
    intensity_source={source!r}, intensity_url={url!r}, measure_power_secs=0.1, api_call_interval=-1,
)
t.start()
time.sleep(0.3)
say(t.stop(), t.final_emissions_data.energy_consumed)
"""
SOURCES = [
    (
        ("gb_carbon_intensity", "GBR", None),
        {"data": [{"from": "now", "intensity": {"forecast": 9, "actual": 250}}]},
        "/intensity",
    ),
    (
        ("gb_carbon_intensity", "GBR", "Scotland"),
        {"data": [{"regionid": 16, "data": [{"from": "now", "intensity": {"forecast": 250}}]}]},
        "/regional/regionid/16",
    ),
    (
        ("energi_data_service", "DNK", "DK1"),
        {"records": [{"Minutes5UTC": "now", "PriceArea": "DK1", "CO2Emission": 250.0}]},
        "/dataset/CO2Emis?",
    ),
]


@pytest.mark.parametrize(("asked", "answer", "path"), SOURCES)
def test_a_source_without_a_token_prices_the_run(
    run: Run, out: Path, server: Server, asked: tuple[str, str, str | None], answer: Any, path: str
) -> None:
    source, country, region = asked
    server.answer = (200, {}, json.dumps(answer).encode())
    ended = run(OTHER.format(source=source, country=country, region=region, url=server.url))
    assert ended.status == 0, ended.err
    kilograms, kwh = map(float, ended.out.split())
    assert kilograms == pytest.approx(kwh * 0.25)
    [(asked_for, token)] = server.asked
    assert asked_for.startswith(path)
    assert token is None
    (receipt,) = receipts(out)
    [price] = receipt["intensities"]
    assert (price["kind"], price["scope"], price["g_per_kwh"]) == ("live", "direct", 250.0)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": 1}', b'{"records": [{}]}'])
@pytest.mark.parametrize("source", ["gb_carbon_intensity", "energi_data_service"])
def test_a_bad_answer_of_any_source_leaves_the_static_value(
    run: Run, out: Path, server: Server, source: str, body: bytes
) -> None:
    server.answer = (200, {}, body)
    ended = run(OTHER.format(source=source, country="DNK", region="DK1", url=server.url))
    assert ended.status == 0, ended.err
    assert sum("no live grid intensity" in line for line in ended.own_lines) == 1
    (receipt,) = receipts(out)
    assert [price["kind"] for price in receipt["intensities"]] == ["annual"]


# --- how often -----------------------------------------------------------------------------------


def test_the_cadence_is_interval_times_period_and_once_at_the_end(
    run: Run, out: Path, server: Server
) -> None:
    # Every 3 x 0.1 s for 1.5 s, and at the end; the start asks nobody.
    live(run, server.url, every=3, seconds=1.5)
    assert 4 <= len(server.asked) <= 7


def test_only_at_the_end(run: Run, out: Path, server: Server) -> None:
    live(run, server.url, every=-1, seconds=0.7)
    assert len(server.asked) == 1


class Scripted:
    """A live source whose values a test sets."""

    def __init__(self, g_per_kwh: float) -> None:
        self.g_per_kwh = g_per_kwh
        self.asked = 0
        self.past: list[Intensity] | None = None
        self.spans: list[tuple[datetime, datetime]] = []
        self.held: Intensity | None = None

    def latest(self, *, insist: bool = False) -> Intensity:
        self.asked += 1
        return self.of(self.g_per_kwh)

    def between(self, start: datetime, end: datetime) -> list[Intensity]:
        self.spans.append((start, end))
        if self.past is None:
            raise IntensityError("no history")
        return self.past

    def of(self, g_per_kwh: float, hour: datetime | None = None) -> Intensity:
        time = hour.isoformat() if hour else None
        return Intensity(g_per_kwh, "FR", "a test", "live", "lifecycle", 0.05, time=time)


def hourly(source: Scripted, **parts: Any) -> tuple[LabTracker, FakeClock]:
    """Return a tracker of 1 kW that asks a source every hour, and starts with a first reading."""
    clock = FakeClock()
    own = {"live": source, "live_every": 1, "heartbeat_s": 3600.0, "start_patience_s": 10.0}
    chosen = {**own, **parts}
    return LabTracker(clock, lambda: [steady(clock, 1000.0)], **chosen), clock


def test_on_a_clock_of_its_own_the_cadence_is_exact() -> None:
    source = Scripted(100.0)
    tracker, clock = hourly(source, heartbeat_s=15.0, live_every=8)
    tracker.start()
    tracker.report()
    assert source.asked == 0, "the start asks nobody"
    for beat in range(1, 33):
        clock.advance(15.0)
        tracker.report()
        assert eventually(lambda: source.asked == beat // 8), f"after {15 * beat} s"  # noqa: B023
    tracker.stop()
    assert source.asked == 4 + 1, "every 8 x 15 s, and once at the end"


def test_at_the_end_each_hour_gets_the_price_that_is_known_by_then() -> None:
    source = Scripted(100.0)
    tracker, clock = hourly(source)
    tracker.start()
    began = clock.now().replace(minute=0, second=0, microsecond=0)
    for _ in range(3):
        clock.advance(3600)
        tracker.report()
    hours = [began + timedelta(hours=n) for n in range(4)]
    # The first hour twice (its mean counts), nothing of the second, the third, and one of before.
    source.past = [
        source.of(10.0, hours[0]),
        source.of(30.0, hours[0] + timedelta(minutes=30)),
        source.of(500.0, hours[2]),
        source.of(9.0, hours[0] - timedelta(hours=1)),
    ]
    tracker.stop()
    assert [start for start, _ in source.spans] == [began]
    report = tracker.final_report
    assert report is not None
    assert [hour.start for hour in report.hours] == [iso_hour(hour) for hour in hours]
    prices = [3_600_000 * hour.grams / hour.joules for hour in report.hours if hour.joules]
    assert prices[:3] == pytest.approx([20.0, 100.0, 500.0])
    grams = sum(hour.grams for hour in report.hours)
    assert report.emissions_kg.value == pytest.approx(grams / 1000, rel=1e-12)
    assert sum(share.joules for share in report.intensities) == pytest.approx(report.window.joules)


def test_a_later_price_reaches_the_journal_too(tmp_path: Path) -> None:
    source = Scripted(100.0)
    tracker, clock = hourly(
        source,
        make_outputs=lambda: [
            RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
        ],
    )
    tracker.start()
    began = clock.now()
    for _ in range(4):
        clock.advance(3600)
        tracker.report()
    source.past = [source.of(500.0, began)]
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    (kept,) = tmp_path.rglob("*.jsonl")
    assert journal.read(kept).hours == report.hours
    assert 3_600_000 * report.hours[0].grams / report.hours[0].joules == pytest.approx(500.0)


def test_within_one_hour_no_past_is_asked_for() -> None:
    source = Scripted(100.0)
    tracker, clock = hourly(source, live_every=None)
    clock.step_wall_clock((10 - clock.now().minute) * 60)
    tracker.start()
    clock.advance(60)
    tracker.stop()
    assert (source.asked, source.spans) == (1, [])


def test_a_past_that_is_not_known_leaves_what_held_at_the_time() -> None:
    source = Scripted(100.0)
    tracker, clock = hourly(source)
    tracker.start()
    clock.advance(7200)
    assert tracker.stop() == pytest.approx(0.2, rel=1e-9)
    assert len(source.spans) == 1


def test_a_failing_source_leaves_its_last_answer_and_then_the_average() -> None:
    class Failing(Scripted):
        def latest(self, *, insist: bool = False) -> Intensity:
            super().latest(insist=insist)
            raise IntensityError("HTTP status 500")

    source = Failing(0.0)
    source.held = source.of(50.0)
    tracker, clock = hourly(source)
    tracker.start()
    clock.advance(3600)
    tracker.report()
    assert eventually(lambda: source.asked == 1)
    source.held = None
    clock.advance(3600)
    # The laboratory's average is 1,000 g/kWh.
    assert tracker.stop() == pytest.approx(0.05 + 1.0, rel=1e-9)
    assert any("50.0 g CO2e/kWh (a test) is used" in line for line in said(tracker))
    assert any("1000 g CO2e/kWh" in line for line in said(tracker))


def test_a_task_has_the_intensities_of_its_own_part_of_the_run() -> None:
    class Failing(Scripted):
        def latest(self, *, insist: bool = False) -> Intensity:
            super().latest(insist=insist)
            raise IntensityError("HTTP status 500")

    source = Failing(0.0)
    annual = tables.country("DEU")
    assert annual is not None
    clock = FakeClock()
    tracker = LabTracker(
        clock,
        lambda: [steady(clock, 1000.0)],
        live=source,
        live_every=1,
        heartbeat_s=3600.0,
        assumed=annual,
    )

    def kinds(report: Report | None) -> list[str]:
        assert report is not None
        return [share.intensity.kind for share in report.intensities]

    tracker.start()
    source.held = source.of(50.0)
    tracker.start_task("both")
    tracker.start_task("live")
    clock.advance(3600)
    assert eventually(lambda: kinds(tracker.report()) == ["live"])
    tracker.stop_task("live")
    source.held = None
    tracker.start_task("annual")
    clock.advance(3600)
    assert eventually(lambda: kinds(tracker.report()) == ["live", "annual"])
    tracker.stop_task("annual")
    tracker.stop_task("both")
    tracker.stop()
    whole = tracker.final_report
    assert whole is not None
    reports = dict(whole.tasks)
    assert [kinds(one) for one in (*reports.values(), whole)] == [
        ["live"],
        ["annual"],
        ["live", "annual"],
        ["live", "annual"],
    ]
    factors = [
        one.emissions_kg.high / one.emissions_kg.value
        for one in (reports["live"], whole, reports["annual"])
    ]
    assert factors == sorted(factors)


def test_each_hour_has_its_own_price() -> None:
    clock, source = FakeClock(), Scripted(100.0)
    tracker = LabTracker(
        clock, lambda: [steady(clock, 1000.0)], live=source, live_every=1, heartbeat_s=3600.0
    )
    tracker.start()
    clock.advance(3600)
    tracker.report()
    assert eventually(lambda: source.asked == 1)
    source.g_per_kwh = 500.0
    clock.advance(3600)
    tracker.report()
    assert eventually(lambda: source.asked == 2)
    assert tracker.stop() == pytest.approx(0.1 + 0.5, rel=1e-3)
    report = tracker.final_report
    assert report is not None
    assert sum(share.joules for share in report.intensities) == pytest.approx(report.window.joules)


def test_a_source_that_breaks_in_a_new_way_is_survived() -> None:
    class Broken(Scripted):
        def latest(self, *, insist: bool = False) -> Intensity:
            raise RuntimeError("surprise")

    clock = FakeClock()
    tracker = LabTracker(clock, lambda: [steady(clock)], live=Broken(0.0))
    tracker.start()
    clock.advance(3600)
    assert tracker.stop() == pytest.approx(360_000 / JOULES_PER_KWH)
    assert any("surprise" in line for line in said(tracker))

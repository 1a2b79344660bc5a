"""Servers that never answer, or answer badly: bounded, said once, and the energy is priced anyway."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.children import Ended, receipts, rows
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, said, steady
from faults.server import FRANCE_G, Server

from carbon_core.testing import FakeClock

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
)
began = time.monotonic()
t.start()
started = time.monotonic()
time.sleep({seconds})
stopping = time.monotonic()
kilograms = t.stop()
say(started - began, time.monotonic() - stopping, kilograms, t.final_emissions_data.energy_consumed)
"""


def live(run: Run, url: str, every: int = -1, seconds: float = 0.5, **environ: str) -> list[float]:
    """Run a job that asks a server; return seconds of start, of stop, kilograms and kWh."""
    ended = run(LIVE.format(url=url, every=every, seconds=seconds), **environ)
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
    start_s, stop_s, kilograms, kwh, said_lines = live(run, silent, every)
    assert start_s <= 0.5
    assert stop_s <= 2.5
    assert_static(out, kilograms, kwh)
    assert said_lines == 1, "that the static value is used is said, once"


def test_the_journal_goes_on_beside_a_server_that_never_answers(
    run: Run, out: Path, silent: str
) -> None:
    live(run, silent, every=1, seconds=1.0)
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

    server.answer = (status, headers, body)
    clock = FakeClock()
    source = ElectricityMaps(fetcher(SystemClock()), server.url, "sesame", "FR", SystemClock())
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
            _, stop_s, kilograms, kwh, said_lines = live(run, url)
        finally:
            over.set()
            thread.join()
    assert stop_s <= 2.5
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
    ended = run(LIVE.format(url="http://example.invalid", every=-1, seconds=0.1))
    assert ended.status == 0, ended.err
    assert "must be https" in ended.err
    assert "sesame" not in ended.err


def test_a_dead_proxy_keeps_its_password(run: Run, out: Path, silent: str) -> None:
    proxy = silent.replace("http://", "http://user:swordfish@")
    script = LIVE.format(url="https://api.example.invalid", every=-1, seconds=0.2)
    ended = run(script, HTTPS_PROXY=proxy, HTTP_PROXY=proxy)
    assert ended.status == 0, ended.err
    assert float(ended.out.split()[1]) <= 2.5
    assert "swordfish" not in ended.err
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"swordfish" in path.read_bytes()
    ]
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()
    ]


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
    """A live source whose value a test sets."""

    def __init__(self, g_per_kwh: float) -> None:
        self.g_per_kwh = g_per_kwh
        self.asked = 0

    def latest(self) -> Any:
        from carbon_core.records import Intensity

        self.asked += 1
        return Intensity(self.g_per_kwh, "FR", "a test", "live", "lifecycle", 0.05)


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
    assert sum(share.joules for share in report.prices) == pytest.approx(report.window.joules)


def test_a_source_that_breaks_in_a_new_way_is_survived() -> None:
    class Broken:
        def latest(self) -> Any:
            raise RuntimeError("surprise")

    clock = FakeClock()
    tracker = LabTracker(clock, lambda: [steady(clock)], live=Broken())
    tracker.start()
    clock.advance(3600)
    assert tracker.stop() == pytest.approx(360_000 / JOULES_PER_KWH)
    assert any("surprise" in line for line in said(tracker))

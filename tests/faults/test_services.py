"""Services that misbehave: a run keeps its figure and its row; what is missing is sent later, once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.server import Server

from carbon_core import EmissionsTracker

pytestmark = pytest.mark.slow

EXPERIMENT = "235b1da5-aaaa-aaaa-aaaa-893681599d2c"
CREATED = (201, {}, b'{"id": "their-id"}')
# shutdown_timeout_s (2 s), the files' least time and what a busy machine adds.
PATIENCE_S = 4.0


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answer = CREATED
    yield server
    server.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(url: str) -> dict[str, Any]:
    return {"save_to_api": True, "api_endpoint": url, "experiment_id": EXPERIMENT}


def resend(directory: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run the command as the user would after the run."""
    lines = "".join(f"{key}={value}\n" for key, value in settings(url).items())
    (directory / ".codecarbon.config").write_text(f"[codecarbon]\n{lines}")
    program = "from carbon_callbacks.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "resend", str(directory), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "HOME": str(directory / "home"),
            "PYTHONPATH": ":".join(sys.path),
            "CODECARBON_TRUST_LOCAL_CONFIG": "true",
        },
    )


def emissions(server: Server) -> list[dict[str, Any]]:
    return [json.loads(body) for _, path, _, body in server.sent if path == "/emissions"]


def measured(url: str, seconds: float = 0.3, **more: Any) -> EmissionsTracker:
    """Run a tracker that delivers to an address; return it, stopped in bounded time."""
    tracker = EmissionsTracker(**settings(url), **more, force_ram_power=5000, log_level="error")
    tracker.start()
    time.sleep(seconds)
    began = time.monotonic()
    assert tracker.stop() > 0
    assert time.monotonic() - began < PATIENCE_S
    return tracker


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


MISBEHAVIOURS = {
    "client error": (404, {}, b"no"),
    "server error": (500, {}, b"<html>"),
    "garbage": (201, {}, b"\x00\xff not json"),
    "another shape": (201, {}, b"[]"),
    "redirect": (307, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
    "huge": (201, {}, b"x" * 5_000_000),
}


@pytest.mark.parametrize("answer", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_a_service_that_answers_badly_harms_nothing_and_is_told_later_once(
    answer: Any, server: Server, place: Path
) -> None:
    server.answer = answer
    tracker = measured(server.url)
    assert Path("emissions.csv").read_text().count(tracker.run_id) == 1
    server.answer = CREATED
    assert emissions(server) == []
    done = resend(place, server.url)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["run_id"], row["accepted"]) == (tracker.run_id, True)
    again = resend(place, server.url)
    assert json.loads(again.stdout) == []
    (sent,) = emissions(server)
    assert sent["energy_consumed"] == pytest.approx(tracker.final_emissions_data.energy_consumed)


def test_a_service_that_cannot_be_reached_is_told_later(server: Server, place: Path) -> None:
    measured(closed_port())
    assert resend(place, closed_port()).returncode == 1
    assert resend(place, server.url).returncode == 0
    assert len(emissions(server)) == 1


def test_a_service_that_never_answers_holds_up_no_stop(server: Server, place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = measured(address, shutdown_timeout_s=0.5)
    done = resend(place, server.url)
    assert json.loads(done.stdout)[0]["run_id"] == tracker.run_id
    assert len(emissions(server)) == 1


def test_a_run_that_was_killed_is_told_later(server: Server, place: Path) -> None:
    program = (
        "import os, time\n"
        "from carbon_core import EmissionsTracker\n"
        f"tracker = EmissionsTracker(**{settings(closed_port())!r}, measure_power_secs=0.1)\n"
        "tracker.start(); time.sleep(1.0); os.kill(os.getpid(), 9)\n"
    )
    env = {"HOME": str(place / "home"), "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=env, timeout=60).returncode == -9
    assert resend(place, server.url).returncode == 0
    (sent,) = emissions(server)
    assert sent["energy_consumed"] > 0
    # The next run still recovers it: sending is no saving.
    with EmissionsTracker(log_level="error", save_to_api=False):
        pass
    assert len(Path("emissions.csv").read_text().splitlines()) == 3


def test_a_run_that_goes_on_is_passed_over(server: Server, place: Path) -> None:
    quiet = {"log_level": "error", "api_call_interval": -1}
    with EmissionsTracker(**settings(server.url), **quiet) as tracker:
        time.sleep(0.3)
        done = resend(place, server.url)
        assert json.loads(done.stdout) == []
    assert tracker.final_emissions > 0
    assert len(emissions(server)) == 1


def test_without_a_service_the_command_says_what_to_set(place: Path) -> None:
    program = "from carbon_callbacks.cli import main; main()"
    env = {"HOME": str(place / "home"), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, "resend"], capture_output=True, text=True, env=env
    )
    assert done.returncode == 2
    assert "emissions_endpoint, or save_to_api" in done.stderr

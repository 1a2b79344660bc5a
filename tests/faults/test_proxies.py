"""A real proxy between the job and a loopback server: used, bypassed, and refused.

The server is addressed by 0.0.0.0, which is not known to be this machine: that would not be proxied.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.children import Ended, receipts, rows
from faults.server import FRANCE_G, Server

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]
PASSWORD = "open-says-me"
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
BasicAuth user {password}
Timeout 10
MaxClients 10
"""
LIVE = """
t = tracker(
    force_carbon_intensity_g_co2e_kwh=None, country_iso_code="FRA", api_call_interval=1,
    intensity_source="gb_carbon_intensity", intensity_url={url!r}, shutdown_timeout_s=5,
)
with t:
    time.sleep(0.6)
say(t.final_emissions / t.final_emissions_data.energy_consumed)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def command(port: int, directory: Path) -> list[str]:
    """Return how to start a proxy that asks for a password: tinyproxy, else a Python package."""
    if shutil.which("tinyproxy"):
        config = directory / "tinyproxy.conf"
        config.write_text(TINYPROXY.format(port=port, password=PASSWORD))
        return ["tinyproxy", "-d", "-c", str(config)]
    pytest.importorskip("proxy", reason="neither tinyproxy nor the package proxy.py is here")
    at = [f"--hostname=127.0.0.1 --port={port} --num-workers=1 --num-acceptors=1"]
    return [sys.executable, "-m", "proxy", *at[0].split(), f"--basic-auth=user:{PASSWORD}"]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """Start a proxy; yield its host and port."""
    port = free_port()
    process = subprocess.Popen(
        command(port, tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
        process.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.url = made.url.replace("127.0.0.1", "0.0.0.0")
    body = {"data": [{"intensity": {"actual": FRANCE_G}}]}
    made.answer = (200, {}, json.dumps(body).encode())
    yield made
    made.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_the_request_goes_through_the_proxy(
    run: Run, proxy: str, server: Server, variable: str
) -> None:
    ended = run(LIVE.format(url=server.url), **{variable: f"http://user:{PASSWORD}@{proxy}"})
    assert ended.status == 0, ended.err
    assert float(ended.out) == pytest.approx(FRANCE_G / 1000)
    assert server.asked[0] == ("/intensity", None)
    assert all(via and "proxy" in via for via in server.via)
    assert PASSWORD not in ended.err


def test_no_proxy_goes_past_it(run: Run, proxy: str, server: Server) -> None:
    ended = run(
        LIVE.format(url=server.url),
        HTTP_PROXY=f"http://user:{PASSWORD}@{proxy}",
        NO_PROXY="localhost,0.0.0.0",
    )
    assert float(ended.out) == pytest.approx(FRANCE_G / 1000), ended.err
    assert set(server.via) == {None}


TOKEN = """
t = tracker(
    force_carbon_intensity_g_co2e_kwh=None, country_iso_code="FRA", api_call_interval=1,
    electricitymaps_api_token="sesame", electricitymaps_url={url!r}, shutdown_timeout_s=5,
)
with t:
    time.sleep(0.6)
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "LOCALHOST"])
def test_a_token_for_this_machine_passes_no_proxy(run: Run, server: Server, host: str) -> None:
    proxy = Server()
    try:
        url = server.url.replace("0.0.0.0", host)
        run(TOKEN.format(url=url), HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url, http_proxy=proxy.url)
        assert proxy.asked == []
        if host != "127.1.2.3":  # where the server does not listen
            assert server.asked[0] == ("/carbon-intensity/latest?zone=FR", "sesame")
    finally:
        proxy.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_wrong_password_is_one_warning_and_the_static_value(
    run: Run, out: Path, proxy: str, server: Server, scheme: str
) -> None:
    wrong = f"http://user:wrong-word@{proxy}"
    url = server.url.replace("http:", f"{scheme}:")
    ended = run(LIVE.format(url=url), HTTP_PROXY=wrong, HTTPS_PROXY=wrong)
    (line,) = [line for line in ended.own_lines if "no live grid intensity" in line]
    if scheme == "http" and shutil.which("tinyproxy"):
        assert "HTTP status 401" in line  # what a server might answer as well
    else:
        assert f"the proxy refused the user or password in {scheme.upper()}_PROXY" in line
    assert server.asked == []
    (receipt,) = receipts(out)
    assert [price["kind"] for price in receipt["intensities"]] == ["annual"]
    assert len(rows(out)) == 1
    assert "wrong-word" not in ended.err + ended.out


def test_a_proxy_that_is_not_there_is_one_warning_and_the_static_value(
    run: Run, out: Path, server: Server
) -> None:
    gone = f"http://user:{PASSWORD}@127.0.0.1:{free_port()}"
    ended = run(LIVE.format(url=server.url), HTTP_PROXY=gone)
    (line,) = [line for line in ended.own_lines if "no live grid intensity" in line]
    assert "HTTP_PROXY" in line
    assert server.asked == []
    assert PASSWORD not in ended.err
    assert len(rows(out)) == 1

"""Secrets planted in every source are in nothing that a whole run writes, at the level DEBUG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.children import Ended
from faults.server import Server

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]

FILE = """\
[codecarbon]
electricitymaps_api_token = planted-token
api_key = planted-key
emissions_endpoint = http://me:planted-endpoint@127.0.0.1:1/take?api_key=planted-query&sig=planted-sig
prometheus_url = me:planted-prometheus@127.0.0.1:2/?token=planted-token-of-prometheus
otlp_endpoint = http://127.0.0.1:1/v1/metrics?X-Amz-Signature=planted-signature#planted-fragment
api_key = planted-twice
puee = planted-typo-is-no-secret
"""
JOB = """
import copy, logging, pickle, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.captureWarnings(True)
t = tracker(
    force_carbon_intensity_g_co2e_kwh=None, country_iso_code="FRA", api_call_interval=1,
    log_level="DEBUG",
)
with t:
    with t.window("w"):
        time.sleep(0.5)
    t.start_task("task")
    t.flush()
    print(t.stop_task("task"))
    pickle.dump(copy.deepcopy(t), open("copy.pickle", "wb"))
print(repr(t), vars(t), t.settings, repr(t.settings), t.settings.shown(), t.final_report)
import subprocess
for command in ("config show", "config show --json --origin", "config get emissions_endpoint",
                "config check", "resend out", "report out --html page.html"):
    main = "import carbon_callbacks.cli; carbon_callbacks.cli.main()"
    line = [sys.executable, "-c", main, *command.split()]
    print(subprocess.run(line, capture_output=True, text=True))
print(t.final_emissions_data, [str(t.settings.origin(key)) for key in t.settings.origins])
pickle.dump(t, open("tracker.pickle", "wb"))
pickle.dump(t.settings, open("settings.pickle", "wb"))
for bad in ({"electricitymaps_api_token": ["planted-argument"]}, {"api_key": 5, "pue": "x"},
            {"emissions_endpoint": "http://x y/?k=planted-in-error"},
            {"prometheus_url": "x/?token=planted in error"}):
    try:
        tracker(**bad)
    except ValueError as error:
        print(repr(error), error.__cause__, error.__context__)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize("status", [200, 401, 500, 302])
def test_nothing_that_is_written_holds_one(
    run: Run, tmp_path: Path, server: Server, status: int
) -> None:
    # Servers echo what they are sent, and a proxy that is gone gets into exception texts.
    if status != 200:
        server.answer = (status, {"Location": "/planted-token"}, b'{"error": "planted-token"}')
    config = tmp_path / ".codecarbon.config"
    config.touch(0o600)
    config.write_text(FILE)
    ended = run(
        JOB,
        HTTP_PROXY="http://me:planted-proxy@127.0.0.1:9" if status == 302 else "",
        CODECARBON_ELECTRICITYMAPS_API_TOKEN="planted-variable",
        CODECARBON_ELECTRICITYMAPS_URL=server.url.replace("//", "//me:planted-userinfo@"),
    )
    assert ended.status == 0, ended.err
    written = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != config]
    written |= {path.name: path.read_bytes() for path in files if not path.name.startswith("job_")}
    assert "(hidden)" in ended.out
    assert "there is no setting 'puee'" in ended.err
    assert len(written) >= 8
    found = {
        name: line
        for name, data in written.items()
        for line in data.split(b"\n")
        if b"planted" in line
    }
    assert found == {}
    if status != 302:
        assert server.asked[0][1] == "planted-variable"

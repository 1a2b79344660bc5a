"""Twenty shapes of a secret, in every place that can hold one, are in nothing that is written.

The places are derived from the table of settings: each secret, each part of each address, variables of
services, the metadata. A shape contains `planted`, which every output is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.children import Ended
from faults.server import Server

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]

# As they are in a secret setting, and percent-encoded within an address.
SHAPES = [
    "planted",
    "planted/slash",
    "/planted",
    "planted blank",
    "me@planted",
    "planted#hash",
    "pw?planted",
    "planted:colon",
    "planted%20percent",
    'planted"quote',
    "planted'quote",
    "planted\\backslash",
    "<planted>",
    "planted=equals&and",
    "eyJhbGciOiJub25lIn0.planted.c2lnbmVk",
    "sk-planted-0123456789abcdef",
    "T000/B000/plantedXXXX",
    "pl\u00e4n-planted-\u0416",
    "planted," * 30,
    "http://planted@planted/planted?planted",
]

JOB = """
import copy, io, json, logging, pickle, traceback, warnings
from urllib.parse import quote
from carbon_core.config.schema import KEYS
from carbon_core.errors import ConfigError

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.captureWarnings(True)
warnings.simplefilter("always")

def show(*values):
    for value in values:
        print(value, repr(value))

def show_error(error):
    while error is not None:
        show(error, error.args, [v for k, v in vars(error).items() if k != "key"])
        print("".join(traceback.format_exception_only(error)))
        error = error.__cause__ or error.__context__

SECRETS = [name for name, key in KEYS.items() if key.secret]
URLS = [name for name, key in KEYS.items() if key.kind.name == "url"]
SHAPES = {shapes!r}
SERVER = {url!r}
os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = "x-key=planted-header"
os.environ["LOGFIRE_TOKEN"] = os.environ["PROMETHEUS_PASSWORD"] = "planted-variable"
os.environ["HTTP_PROXY"] = os.environ["HTTPS_PROXY"] = "http://me:planted-proxy@127.0.0.1:9"

class Theirs:
    def open(self, report): pass
    def update(self, report, delta): return None
    def close(self, report, delta):
        raise ValueError("no answer from http://me:planted word@host/planted/x?planted=1 to me")
    def __repr__(self):
        return "planted in the text of an object"

for number, shape in enumerate(SHAPES):
    part = quote(shape, safe="")
    # Rotated: each shape is in another place of each address.
    parts = ["//planted-user:%s@" % part, "//", "//", "//"]
    ends = ["", "/services/%s" % part, "/api?key=%s" % part, "/v3?a=1#%s" % part]
    addresses = dict()
    for i, name in enumerate(URLS):
        place = (number + i) % 4
        addresses[name] = SERVER.replace("//", parts[place]) + ends[place]
    settings = dict(
        **addresses, **dict.fromkeys(SECRETS, shape),
        watttime_username="me", watttime_region="X", prometheus_username="me",
        output_methods=["csv", "api", "prometheus", "otel", "logfire", "boamps", "logger"],
        experiment_id="235b1da5-aaaa-aaaa-aaaa-893681599d2c",
        prometheus_textfile_dir=".", country_iso_code="FRA", output_handlers=[Theirs()],
        force_carbon_intensity_g_co2e_kwh=None, api_call_interval=1, log_level="DEBUG",
        metadata=dict(task=dict(api_token=shape, note="see %s" % addresses["api_endpoint"])),
        project_name="p%d" % number, geolocation="ip",
        shutdown_timeout_s=10,
    )
    t = tracker(**settings)
    with t:
        with t.window("w"):
            pass
        t.start_task("task")
        t.flush()
        show(t.stop_task("task"))
        pickle.dump(copy.copy(t), open("running-%d.pickle" % number, "wb"))
    show(t, vars(t), t.settings, t.settings.shown(), t.final_report, t.final_emissions_data)
    show([str(origin) for origin in t.settings.origins.values()])
    pickle.dump([t, t.settings], open("stopped-%d.pickle" % number, "wb"))
    # As a program would write them: unescaped, and of the wrong type.
    wrong = [dict([(name, "http://me:%s@ho st/x" % shape)]) for name in URLS]
    wrong += [dict([(name, "http://me:%s\\\\@host" % shape)]) for name in URLS]
    wrong += [dict([(name, [shape])]) for name in SECRETS]
    for bad in wrong:
        try:
            tracker(**bad)
            print("accepted", list(bad))
        except ConfigError as error:
            show_error(error)

import subprocess
lines = ["[codecarbon]", *("%s = %s" % (name, "planted-in-file") for name in SECRETS)]
lines += ["%s = %s" % (name, SERVER.replace("//", "//me:pl/planted-file@")) for name in URLS[:3]]
lines += ["%s = %s/services/planted?planted" % (name, SERVER) for name in URLS[3:]]
descriptor = os.open(".codecarbon.config", os.O_CREAT | os.O_WRONLY, 0o600)
os.write(descriptor, "\\n".join(lines).encode())
for command in ("config show", "config show --json --origin", "config get api_endpoint",
                "config get api_key", "config check", "report out", "report out --html page.html"):
    main = "import carbon_callbacks.cli; carbon_callbacks.cli.main()"
    done = subprocess.run([sys.executable, "-c", main, *command.split()], capture_output=True, text=True)
    print(command, done.returncode, done.stdout, done.stderr)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize("status", [200, 401])
def test_no_shape_of_a_secret_is_in_anything_that_is_written(
    run: Run, tmp_path: Path, server: Server, status: int
) -> None:
    # Servers echo what they are sent.
    body = b'{"id": "7", "error": "planted"}'
    server.answer = (status, {"Location": "/planted", "Set-Cookie": "planted=planted"}, body)
    job = JOB.replace("{shapes!r}", repr(SHAPES)).replace("{url!r}", repr(server.url))
    ended = run(job)
    assert ended.status == 0, ended.err
    written = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    for path in tmp_path.rglob("*"):
        is_input = path.name.startswith("job_") or path.name == ".codecarbon.config"
        if path.is_file() and not is_input:
            written[str(path.relative_to(tmp_path))] = path.read_bytes()
    assert len([name for name in written if name.endswith(".pickle")]) == 2 * len(SHAPES)
    assert "page.html" in written
    assert any(name.endswith(".prom") for name in written)
    assert any("boamps_report" in name for name in written)
    assert "accepted" not in ended.out
    found = {
        name: line[max(0, line.index(b"planted") - 300) :][:600]
        for name, data in written.items()
        for line in data.split(b"\n")
        if b"planted" in line
    }
    assert found == {}
    # The secrets were there to be sent.
    sent = str(server.asked) + str(server.sent)
    assert sent.count("planted") > 5 * len(SHAPES)

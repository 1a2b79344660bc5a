"""Dashboard and rules: names, `promtool`, the model of Grafana, and a real Prometheus with two runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.lab import eventually
from nvml_standin.standin import PowerCurve, StandinError, build, environment

from carbon_core.outputs.metric_families import FAMILIES, RUN_LABELS

HERE = Path(__file__).parent
SHIPPED = Path(__file__).parents[3] / "core" / "carbon_core" / "data" / "dashboards"
RULES = SHIPPED / "prometheus-rules.yml"
DASHBOARD = json.loads((SHIPPED / "grafana-dashboard.json").read_text("utf-8"))
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
PAGE = Path(__file__).parents[3] / "docs" / "dashboards.md"
SHOWN = {
    f"query {i} of the page": text
    for i, text in enumerate(re.findall(r"```promql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
}
# Labels that Prometheus gives each target.
TARGET_LABELS = {"job", "instance"}
_NAME = re.compile(r"\bcarbon[_:][a-z0-9_:]+")
_CHOICE = re.compile(r"(\w+)\{([^}]*)\}")
_BY = re.compile(r"\bby \(([^)]*)\)")

with_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is missing"
)


def rules() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


# --- names ---------------------------------------------------------------------------------------


def gaps(expression: str, recorded: set[str]) -> set[str]:
    """Return the metrics and labels of a query that do not exist."""
    names = set(_NAME.findall(expression))
    unknown = names - FAMILIES.keys() - recorded
    labels = {label for name in names & FAMILIES.keys() for label in FAMILIES[name].labels}
    labels |= {*RUN_LABELS, *TARGET_LABELS}
    used = {one.strip() for found in _BY.findall(expression) for one in found.split(",")}
    for name, choice in _CHOICE.findall(expression):
        own = {*FAMILIES[name].labels, *RUN_LABELS, *TARGET_LABELS} if name in FAMILIES else labels
        unknown |= set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", choice)) - own
    return unknown | (used - labels)


@pytest.mark.parametrize("query", [*QUERIES, *SHOWN])
def test_a_query_is_of_series_that_exist(query: str) -> None:
    assert gaps({**QUERIES, **SHOWN}[query], set()) == set()


def test_rules_use_series_that_exist() -> None:
    found = rules()
    recorded = {rule["record"] for rule in found if "record" in rule}
    assert {name for rule in found for name in gaps(rule["expr"], recorded)} == set()


def test_a_name_that_does_not_exist_is_found() -> None:
    assert gaps("rate(carbon_energy_total[5m])", set()) == {"carbon_energy_total"}
    assert gaps('carbon_power_watts{host="a"}', set()) == {"host"}
    assert gaps("sum by (job_id) (carbon_power_watts)", set()) == {"job_id"}


def test_each_metric_of_energy_and_work_is_shown_or_alerted() -> None:
    text = RULES.read_text("utf-8") + json.dumps(DASHBOARD)
    unused = {name for name in FAMILIES if name not in text}
    assert unused == {
        "carbon_run_emissions_bound_grams",
        "carbon_steps_total",
        "carbon_tokens_total",
    }


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_s_model_has_every_field() -> None:
    """What the official model of a dashboard does not know is lost when it is read and written."""
    pytest.importorskip("grafana_foundation_sdk")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import units
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()

    def lost(given: dict[str, Any]) -> list[str]:
        return list(
            differences(given, json.loads(JSONEncoder().encode(Dashboard.from_json(given))))
        )

    assert lost(DASHBOARD) == []
    known = {value for value in vars(units).values() if isinstance(value, str)}
    used = {panel["fieldConfig"]["defaults"].get("unit", "watt") for panel in DASHBOARD["panels"]}
    assert {unit for unit in used if not unit.startswith("suffix:")} <= known
    wrong = json.loads(json.dumps(DASHBOARD))
    wrong["panels"][0]["targets"][0]["expression"] = wrong["panels"][0]["targets"][0].pop("expr")
    assert lost(wrong) == ["/panels/0/targets/0/expression"]


def differences(given: Any, written: Any, where: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(written, dict):
        for key in given:
            yield from differences(given[key], written.get(key), f"{where}/{key}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for i, (one, other) in enumerate(zip(given, written)):
            yield from differences(one, other, f"{where}/{i}")
    elif given != written:
        yield where


# --- promtool ------------------------------------------------------------------------------------


@with_promtool
def test_promtool_accepts_the_rules_and_their_tests(tmp_path: Path) -> None:
    for file in (RULES, HERE / "rules.test.yml"):
        shutil.copy(file, tmp_path)
    for command in (["check", "rules", RULES.name], ["test", "rules", "rules.test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


# --- a real Prometheus ------------------------------------------------------------------------------

RUN = """
import sys, time
from pathlib import Path

from carbon_callbacks.training import Progress, Training

project, port, stop = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
training = Training(
    project_name=project, prometheus_port=port, country_iso_code="FRA", measure_power_secs=0.5,
    budget_kwh=1e-6, log_level="error", output_dir=str(stop.parent / project),
)
with training.measure():
    step = 0
    while not stop.exists():
        step += 1
        training.metrics(Progress(step / 1e6, samples=step * 64.0), at=str(step))
        time.sleep(0.1)
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def process(command: list[str], environ: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        started = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield
    finally:
        started.terminate()
        started.wait(20)


def ask(port: int, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return json.load(response)["data"]
    except OSError:
        return {}


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[int]:
    """The port of a Prometheus that scrapes two runs, each with a GPU of the stand-in NVML."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian's package) is missing")
    pytest.importorskip("prometheus_client")
    try:
        library = build(tmp_path)
    except StandinError as error:
        pytest.skip(str(error))
    own, *ports = free_ports(3)
    shutil.copy(RULES, tmp_path)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [RULES.name],
        "scrape_configs": [
            {
                "job_name": "training",
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    gpu = environment(library.parent, gpus=1, curve=PowerCurve.constant(150.0))
    paths = os.pathsep.join(sys.path)
    environ = {**os.environ, **gpu, "PYTHONPATH": paths, "HOME": str(tmp_path)}
    stop = tmp_path / "stop"
    with ExitStack() as stack:
        stack.callback(stop.touch)
        for project, port in zip(("one", "two"), ports):
            command = [sys.executable, "-c", RUN, project, str(port), str(stop)]
            stack.enter_context(process(command, environ, tmp_path / f"{project}.log"))
        command = [
            program,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{own}",
        ]
        stack.enter_context(process(command, dict(os.environ), tmp_path / "prometheus.log"))
        yield own


def as_asked(expression: str) -> str:
    """Return a query as Grafana sends it, with all projects and instances."""
    values = {
        "$__rate_interval": "10s",
        "$__range": "1m",
        "$project": ".*",
        "$instance": ".*",
    }
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query(prometheus: int, tmp_path: Path) -> None:
    recorded = {rule["record"]: rule["record"] for rule in rules() if "record" in rule}
    open_queries = {**QUERIES, **SHOWN, **recorded}
    assert len(SHOWN) >= 2

    def result(expression: str) -> list[dict[str, Any]]:
        found = ask(prometheus, "query", query=as_asked(expression))
        return list(found.get("result", []))

    def all_answered() -> bool:
        for name, expression in list(open_queries.items()):
            if result(expression):
                del open_queries[name]
        return not open_queries

    assert eventually(all_answered, 120.0), (open_queries, logs(tmp_path))
    runs = result(QUERIES["Runs A"])
    assert {one["metric"]["project"] for one in runs} == {"one", "two"}
    devices = result("count by (project, component) (carbon_energy_joules_total)")
    assert {one["metric"]["component"] for one in devices} >= {"cpu", "gpu"}
    assert float(result(QUERIES["Power A"])[0]["value"][1]) > 2 * 140.0  # of the two GPUs alone
    variables = [
        re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"])
        for one in DASHBOARD["templating"]["list"]
        if one["type"] == "query"
    ]
    for found in filter(None, variables):
        values = ask(prometheus, f"label/{found[2]}/values", **{"match[]": found[1]})
        assert len(values) == 2, found[0]
    alerts = ask(prometheus, "alerts")["alerts"]
    firing = {(one["labels"]["alertname"], one["labels"]["project"]) for one in alerts}
    assert {("CarbonBudgetSpent", "one"), ("CarbonBudgetSpent", "two")} <= firing


def logs(directory: Path) -> str:
    return "\n".join(path.read_text("utf-8")[-2000:] for path in directory.glob("*.log"))

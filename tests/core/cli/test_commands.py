"""The command line, through real processes."""

import json
from pathlib import Path

import pytest
from core.cli.conftest import PROGRAM
from faults.server import Server

import carbon_core.data

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")


def test_detect_names_each_device_its_meter_and_each_refusal_with_its_reason(command):
    done = command("detect", "--json", LD_LIBRARY_PATH="")
    data = json.loads(done.stdout)
    assert done.returncode == 0
    assert {device["component"] for device in data["devices"]} >= {"cpu", "ram"}
    assert all(device["method"]["grade"] in "ABCDE" for device in data["devices"])
    assert all(refusal["reason"] for refusal in data["refused_meters"])


def test_detect_prints_for_people_what_it_knows(command):
    done = command("detect", LD_LIBRARY_PATH="")
    assert done.returncode == 0
    assert "grade" in done.stdout
    assert "GiB of memory" in done.stdout or "dram" in done.stdout


def test_config_show_gives_each_value_its_origin(command, tmp_path):
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\nproject_name = from-file\n")
    done = command("config", "show", "--origin", "--json", CODECARBON_PUE="1.3")
    data = json.loads(done.stdout)
    assert data["project_name"]["value"] == "from-file"
    assert data["project_name"]["origin"].endswith(".codecarbon.config line 2")
    assert (data["pue"]["value"], data["pue"]["origin"]) == (1.3, "environment CODECARBON_PUE")
    assert data["wue"]["origin"] == "default"


def test_config_show_hides_secrets_and_tells_mistakes_on_standard_error(command):
    done = command(
        "config",
        "show",
        CODECARBON_ELECTRICITYMAPS_API_TOKEN="planted-secret",
        CODECARBON_TRACKING_MODE="bogus",
    )
    assert done.returncode == 0
    assert "planted-secret" not in done.stdout + done.stderr
    assert "(hidden)" in done.stdout
    assert "tracking_mode must be one of machine, process, got 'bogus'" in done.stderr


def test_without_the_extra_one_line_says_what_to_install(command):
    code = "import sys; sys.modules['typer'] = None\n" + PROGRAM
    done = command("detect", code=code)
    assert done.returncode == 1
    assert "pip install 'carbon-callbacks[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


# --- reading and writing single settings ---------------------------------------------------------


@pytest.mark.slow
def test_config_get_prints_a_value_as_a_file_would_hold_it(command):
    assert command("config", "get", "gpu_ids", CODECARBON_GPU_IDS="[0, 1]").stdout == "0, 1\n"
    assert command("config", "get", "save_to_file").stdout == "true\n"
    assert command("config", "get", "region").stdout == "\n"


def test_config_get_shows_a_secret_only_when_asked(command):
    variables = {"CODECARBON_API_KEY": "planted-secret"}
    assert command("config", "get", "api_key", **variables).stdout == "(hidden)\n"
    shown = command("config", "get", "api_key", "--show-secrets", **variables)
    assert shown.stdout == "planted-secret\n"


def test_config_get_of_an_unknown_key_is_an_error(command):
    done = command("config", "get", "puee")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no setting 'puee'" in done.stderr


def test_config_set_writes_the_local_file_or_the_users(command, tmp_path):
    home, work = tmp_path / "home", tmp_path / ".codecarbon.config"
    home.mkdir()
    assert command("config", "set", "pue", "1.2", HOME=str(home)).returncode == 0
    assert work.read_text() == "[codecarbon]\npue = 1.2\n"
    done = command("config", "set", "--global", "pue", "1.3", HOME=str(home))
    assert (home / ".codecarbon.config").read_text() == "[codecarbon]\npue = 1.3\n"
    assert f"{work} line 2 overrides it" in done.stderr
    assert command("config", "get", "pue", HOME=str(home)).stdout == "1.2\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["longitude", "-71.06"], "longitude = -71.1"),
        (["--local", "latitude", "-33"], "latitude = -33"),
        (["api_call_interval", "-1", "--local"], "api_call_interval = -1"),
        (["logger_preamble", "-v --local"], "logger_preamble = -v --local"),
        (["logger_preamble", "--", "--local"], "logger_preamble = --local"),
    ],
)
def test_config_set_takes_a_value_with_a_minus_sign(command, tmp_path, arguments, line):
    done = command("config", "set", *arguments)
    assert done.returncode == 0, done.stderr
    key, _, value = line.partition(" = ")
    assert command("config", "get", key).stdout == f"{value}\n"
    assert key in (tmp_path / ".codecarbon.config").read_text()


def test_config_set_asks_for_a_secret_and_keeps_it_to_the_owner(command, tmp_path):
    done = command("config", "set", "electricitymaps_api_token", stdin="planted-secret\n")
    file = tmp_path / ".codecarbon.config"
    assert done.returncode == 0
    assert "electricitymaps_api_token = planted-secret" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "planted-secret" not in done.stdout + done.stderr


def test_config_says_what_the_local_file_does_not_switch_on(command, tmp_path):
    home = {"HOME": str(tmp_path / "home")}
    done = command("config", "set", "emissions_endpoint", "https://service.example", **home)
    assert done.returncode == 0
    text = "does not switch on what sends data: emissions_endpoint not used; to trust this file"
    for shown in (
        done.stderr,
        command("config", "show", **home).stderr,
        command("config", "show", "--json", **home).stderr,
        command("config", "check", **home).stdout,
    ):
        assert shown.count(text) == 1
    before = (tmp_path / ".codecarbon.config").read_text()
    refused = command("config", "set", "trust_local_config", "true", **home)
    assert refused.returncode == 2
    assert "add --global" in refused.stderr
    assert (tmp_path / ".codecarbon.config").read_text() == before
    trusted = {**home, "CODECARBON_TRUST_LOCAL_CONFIG": "yes"}
    assert command("config", "show", **trusted).stderr == ""
    assert command("config", "check", **trusted).stdout == "no mistakes found\n"


def test_config_set_refuses_a_bad_value(command, tmp_path):
    done = command("config", "set", "tracking_mode", "bogus")
    assert done.returncode == 2
    assert "tracking_mode must be one of machine, process" in done.stderr
    assert not (tmp_path / ".codecarbon.config").exists()


MISTAKES = """\
pue = 1
[codecarbon
[codecarbon]
pue = abc
measure_power_secs = 10
measure_power_secs = 20
this line is none
output_dirr = results
country_iso_code = ZZZ
gpu_ids = all
co2_signal_api_token = planted-secret
output_methods = csv
save_to_api = true
"""


def test_config_check_finds_every_mistake_at_once_and_names_its_origin(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".codecarbon.config").write_bytes("[codecarbon]\nwue = 1\n".encode("utf-16"))
    file = tmp_path / ".codecarbon.config"
    file.write_text(MISTAKES)
    file.chmod(0o644)
    done = command("config", "check", HOME=str(home), CODECARBON_SAVE_TO_FILE="perhaps")
    found = done.stdout.splitlines()
    expected = [
        (home / ".codecarbon.config", "UTF-16"),
        (f"{file} line 1", "settings before any section"),
        (f"{file} line 2", "not a section"),
        (f"{file} line 6", "measure_power_secs is set twice"),
        (f"{file} line 7", "not a setting"),
        (f"{file}", "chmod 600"),
        (f"{file} line 8", "did you mean 'output_dir'"),
        (f"{file} line 4", "pue must be a number of at least 1, got 'abc'"),
        (f"{file} line 10", "gpu_ids must be a list"),
        ("environment CODECARBON_SAVE_TO_FILE", "save_to_file must be true or false"),
        (f"{file} line 11", "co2_signal_api_token is deprecated"),
        (f"{file} line 13", "save_to_api is deprecated"),
        ("country", "ZZZ"),
    ]
    for origin, text in expected:
        assert any(str(origin) in line and text in line for line in found), (origin, text, found)
    assert done.returncode == 2
    assert (
        found[-1] == f"mistakes found: {len(expected) + 1}"
    )  # and save_to_file beside output_methods
    assert "planted-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("wanted", ["A", "C", "E"])
def test_doctor_fails_a_build_where_a_device_is_measured_worse_than_is_wanted(wanted, command):
    done = command("doctor", "--at-least", wanted, "--json", LD_LIBRARY_PATH="")
    worse = [one for one in json.loads(done.stdout)["devices"] if one["method"]["grade"] > wanted]
    assert done.returncode == bool(worse)
    assert len(done.stderr.splitlines()) == len(worse)
    for device in worse:
        assert f"{device['component']}: {device['name']} is measured by" in done.stderr


def test_config_check_of_nothing_is_content(command):
    done = command("config", "check")
    assert (done.returncode, done.stdout) == (0, "no mistakes found\n")


def test_config_check_notes_what_has_no_effect_without_failing(command):
    done = command("config", "check", CODECARBON_RAPL_PREFER_PSYS="1")
    assert done.returncode == 0
    assert "note: these settings have no effect in this version: rapl_prefer_psys" in done.stdout


def test_config_init_asks_and_writes(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = command("config", "init", HOME=str(home), stdin="Frnace\nfra\nplanted-secret\nmine\n")
    assert done.returncode == 0, done.stderr
    assert "did you mean FRA (France)?" in done.stdout
    user = home / ".codecarbon.config"
    assert user.read_text() == (
        "[codecarbon]\ncountry_iso_code = fra\nelectricitymaps_api_token = planted-secret\n"
    )
    assert user.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".codecarbon.config").read_text() == "[codecarbon]\nproject_name = mine\n"
    assert "planted-secret" not in done.stdout + done.stderr


def test_config_init_with_empty_answers_writes_nothing(command, tmp_path):
    assert command("config", "init", stdin="\n\n\n").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_config_show_tells_what_a_value_overrode(command, tmp_path):
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\npue = 2\n")
    done = command("config", "show", "--origin", "--json", CODECARBON_PUE="1.3")
    assert json.loads(done.stdout)["pue"]["overrode"] == [f"{tmp_path}/.codecarbon.config line 2"]
    table = command("config", "show", "--origin", CODECARBON_PUE="1.3", COLUMNS="400").stdout
    assert "environment CODECARBON_PUE (over " in table


def test_config_show_shows_secrets_only_when_asked(command):
    variables = {"CODECARBON_API_KEY": "planted-secret"}
    assert "planted-secret" in command("config", "show", "--show-secrets", **variables).stdout


@pytest.mark.slow
def test_baseline_measures_and_the_next_run_shows_net(command, tmp_path):
    # The machine that runs the tests is at work.
    done = command("baseline", "--seconds", "1.5", "--even-if-busy", LD_LIBRARY_PATH="")
    assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / ".config" / "carbon-callbacks").glob("idle-*.json")
    idle_w = json.loads(kept.read_text())["idle_w"]
    assert idle_w
    assert all(watts > 0 for watts in idle_w.values())
    assert "Idle power of this machine" in done.stdout
    assert not (tmp_path / "emissions.csv").exists()
    code = (
        "import time; from carbon_callbacks import EmissionsTracker as T\n"
        "with T() as t: time.sleep(0.5)\n"
        "data = t.final_emissions_data.provenance\n"
        "print(data.energy_kwh.low < data.energy_kwh.value < data.energy_kwh.high)"
    )
    assert command(code=code, LD_LIBRARY_PATH="").stdout == "True\n"
    (receipt,) = (tmp_path / "carbon_runs").glob("*.receipt.json")
    written = json.loads(receipt.read_text())
    assert 0 <= written["net_energy_kwh"] < written["energy_kwh"]["value"]
    assert written["energy_sigma_ln"]["systematic"] > 0


RECEIPT = """
import time
from carbon_callbacks import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="FRA", log_level="error")
tracker.start(); time.sleep(0.3); tracker.stop()
"""


@pytest.mark.slow
def test_reprice_shows_a_run_at_another_price(command, tmp_path):
    assert command(code=RECEIPT).returncode == 0
    (receipt,) = tmp_path.rglob("*.json")
    (journal,) = tmp_path.rglob("*.journal.jsonl")
    kept = json.loads(receipt.read_text())
    for path in (receipt, journal):
        done = command("reprice", str(path), "--intensity", "1000", "--json")
        told = json.loads(done.stdout)
        assert told["emissions_kg"]["value"] == pytest.approx(kept["emissions_kg"]["value"])
        assert told["repriced_emissions_kg"]["value"] == pytest.approx(kept["energy_kwh"]["value"])
    for country in ("POL", "polska"):
        table = command("reprice", str(receipt), "--country", country).stdout
        assert "France" in table
        assert "Poland (Ember via Our World in Data" in table


def test_reprice_takes_a_zone(command, tmp_path):
    assert command(code=RECEIPT).returncode == 0
    (receipt,) = tmp_path.rglob("*.json")
    told = json.loads(command("reprice", str(receipt), "--zone", "FR", "--json").stdout)
    assert [one["place"] for one in told["intensities"]] == ["France (FR)"]


@pytest.mark.slow
def test_reprice_asks_a_live_source_for_the_hours_of_the_run(command, tmp_path):
    assert command(code=RECEIPT).returncode == 0
    (receipt,) = tmp_path.rglob("*.json")
    [hour] = json.loads(receipt.read_text())["hours"]
    item = {"zone": "DE", "carbonIntensity": 400, "datetime": hour["start"]}
    server = Server()
    server.answer = (200, {}, json.dumps({"history": [item]}).encode())
    environ = {
        "CODECARBON_ELECTRICITYMAPS_API_TOKEN": "sesame",
        "CODECARBON_ELECTRICITYMAPS_URL": server.url,
    }
    options = ("--source", "electricitymaps", "--country", "DEU")
    try:
        done = command("reprice", str(receipt), *options, "--json", **environ)
        server.answer = (200, {}, b'{"history": []}')
        nothing = command("reprice", str(receipt), *options, **environ)
    finally:
        server.close()
    told = json.loads(done.stdout)
    kwh = told["energy_kwh"]["value"]
    assert told["repriced_emissions_kg"]["value"] == pytest.approx(kwh * 0.4)
    assert server.asked[0] == ("/carbon-intensity/history?zone=DE", "sesame")
    assert nothing.returncode == 2
    assert f"Electricity Maps has no value for the hour {hour['start']}" in nothing.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "choose an intensity: --country France"),
        (["--source", "electricitymaps"], "needs electricitymaps_api_token"),
        (["--source", "energi_data_service"], "set region to DK1"),
        (["--source", "oracle"], "intensity_source"),
        (["--zone", "XX-9"], "electricitymaps_zone 'XX-9' has no annual average"),
        (["--country", "POL", "--intensity", "5"], "choose either --intensity or a location"),
        (["--country", "XXX"], "country_iso_code 'XXX' is in no table"),
        (["--country", "Korea"], "KOR (South Korea) or PRK (North Korea)"),
        (["--country", "Polnd"], "did you mean POL (Poland)?"),
        (["--intensity", "-5"], "--intensity must be at least 0, got -5"),
        (["--intensity", "none.csv"], "none.csv cannot be read"),
    ],
)
def test_reprice_names_what_is_wrong(command, tmp_path, options, message):
    assert command(code=RECEIPT).returncode == 0
    (receipt,) = tmp_path.rglob("*.json")
    done = command("reprice", str(receipt), *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_sources_names_every_shipped_table_and_its_licence(command):
    done = command("sources")
    assert done.returncode == 0
    tables = Path(carbon_core.data.__file__).parent.rglob("*.csv")
    assert all(table.name in done.stdout for table in tables)
    assert "ODbL" in done.stdout


def test_merge_adds_up_the_ranks_and_starts_of_a_training(command, tmp_path):
    measure = (
        "from carbon_core import EmissionsTracker\n"
        "first = EmissionsTracker(log_level='ERROR')\nfirst.start()\nfirst.stop()\n"
        "with EmissionsTracker(log_level='ERROR') as second:\n"
        "    second.continue_from(first.segments)\n"
    )
    command(code=measure)
    done = command("merge", "--json")
    (training,) = json.loads(done.stdout)
    assert [part["status"] for part in training["parts"]] == ["completed", "completed"]
    figures = [part["segment"]["energy_kwh"] for part in training["parts"]]
    assert training["energy_kwh"] == pytest.approx(sum(figures))
    assert "│ total " in command("merge", str(tmp_path)).stdout


def test_merge_of_a_directory_without_runs_says_so(command, tmp_path):
    done = command("merge", str(tmp_path))
    assert done.returncode == 2
    assert f"no receipt or journal found in {tmp_path}" in done.stderr

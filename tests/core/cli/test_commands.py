"""The command line, through real processes."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

RUN = "import sys; from carbon_callbacks.cli import main; sys.exit(main())"


@pytest.fixture
def command(tmp_path):
    def run(*arguments, code=RUN, **variables):
        environment = {key: value for key, value in os.environ.items() if "CODECARBON" not in key}
        environment |= {"HOME": str(tmp_path), "COLUMNS": "200", "TERM": "dumb"}
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **variables}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


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
    assert data["pue"] == {"value": 1.3, "origin": "environment CODECARBON_PUE"}
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
    code = "import sys; sys.modules['typer'] = None\n" + RUN
    done = command("detect", code=code)
    assert done.returncode == 1
    assert "pip install 'carbon-callbacks[cli]'" in done.stderr
    assert "Traceback" not in done.stderr

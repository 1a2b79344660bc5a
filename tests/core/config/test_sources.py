"""Files and variables: whatever stands in them, each problem is one sentence and the rest counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import carbon_core
from carbon_core import EmissionsTracker
from carbon_core.config.origin import Origin
from carbon_core.config.resolve import Resolution, resolve
from carbon_core.config.sources import ambient_sources, read_environment, read_file

NAME = ".codecarbon.config"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Return the path of the working directory's file; beside it is an empty home."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "work" / NAME


def resolved(local: Path, environ: Mapping[str, str] | None = None) -> Resolution:
    home = local.parent.with_name("home")
    return resolve({}, environ=environ or {}, home=home, directory=local.parent)


def values(path: Path) -> dict[str, object]:
    return {key: found.value for key, found in read_file(path).values.items()}


# --- what is read -------------------------------------------------------------------------------


def test_an_absent_file_is_an_empty_source(local: Path) -> None:
    source = read_file(local)
    assert (source.values, source.problems) == ({}, [])


def test_keys_in_any_case_with_either_separator(local: Path) -> None:
    local.write_text("[codecarbon]\nPUE=1.2\nWue : 0.5\nregion= Ohio = west\n", encoding="utf-8")
    assert values(local) == {"pue": "1.2", "wue": "0.5", "region": "Ohio = west"}


def test_each_value_knows_its_file_and_line(local: Path) -> None:
    local.write_text("# mine\n\n[codecarbon]\npue = 1.2\n", encoding="utf-8")
    assert read_file(local).values["pue"].origin == Origin("file", f"{local} line 4")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("project_name = a ; comment", "a"),
        ("project_name = a # comment", "a"),
        ("project_name = a;b#c", "a;b#c"),
        ("project_name = 100 %(no)s interpolation %", "100 %(no)s interpolation %"),
        ('project_name = "quoted"', '"quoted"'),
        ("project_name =", ""),
        ("project_name = Zürich ☘", "Zürich ☘"),
    ],
)
def test_values_and_comments(local: Path, line: str, value: str) -> None:
    text = f"[codecarbon]\n  ; a comment\n# another\n{line}\n"
    local.write_text(text, encoding="utf-8")
    assert values(local) == {"project_name": value}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_ends(local: Path, encoding: str, newline: str) -> None:
    text = newline.join(["[codecarbon]", "pue = 1.5", "wue = 2", ""])
    local.write_bytes(text.encode(encoding))
    outcome = resolved(local)
    assert outcome.warnings == []
    assert (outcome.settings.pue, outcome.settings.wue) == (1.5, 2)


def test_continuation_lines_belong_to_the_value(local: Path) -> None:
    local.write_text("[codecarbon]\ngpu_ids = 0,\n   1,\n\t2\npue = 2\n", encoding="utf-8")
    outcome = resolved(local)
    assert outcome.warnings == []
    assert (outcome.settings.gpu_ids, outcome.settings.pue) == ([0, 1, 2], 2)


def test_other_sections_are_not_ours(local: Path) -> None:
    local.write_text("[other]\npue = 9\n[codecarbon]\npue = 2\n[x]\nnonsense\n", encoding="utf-8")
    outcome = resolved(local)
    assert (outcome.settings.pue, outcome.warnings) == (2, [])


def test_the_default_section_counts_below_ours(local: Path) -> None:
    local.write_text("[codecarbon]\npue = 2\n[DEFAULT]\npue = 3\nwue = 1\n", encoding="utf-8")
    outcome = resolved(local)
    assert (outcome.settings.pue, outcome.settings.wue, outcome.warnings) == (2, 1, [])


def test_keys_of_codecarbons_own_command_line_are_known_and_ignored(local: Path) -> None:
    text = "[codecarbon]\norganization_id = abc\nproject_id = def\npue = 2\n"
    local.write_text(text, encoding="utf-8")
    outcome = resolved(local)
    assert (outcome.settings.explicit(), outcome.warnings) == ({"pue": 2}, [])


def test_variables_in_any_case(local: Path) -> None:
    environ = {"CodeCarbon_Pue": " 1.5 ", "codecarbon_wue": "2", "CODECARBONS": "x", "PUE": "9"}
    source = read_environment(environ)
    assert {key: found.value for key, found in source.values.items()} == {"pue": "1.5", "wue": "2"}
    assert str(source.values["pue"].origin) == "environment CodeCarbon_Pue"
    assert resolved(local, environ).settings.explicit() == {"pue": 1.5, "wue": 2}


def test_a_home_that_is_the_working_directory_is_read_once(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("[codecarbon]\nno_such_key = 1\n", encoding="utf-8")
    assert len(ambient_sources({}, tmp_path, tmp_path)) == 2
    outcome = resolve({}, environ={}, home=tmp_path, directory=tmp_path)
    assert len(outcome.warnings) == 1


# --- what is wrong ------------------------------------------------------------------------------


def test_a_file_without_a_section_header_is_one_warning(local: Path) -> None:
    local.write_text("pue = 2\nwue = 1\nregion = Ohio\n", encoding="utf-8")
    outcome = resolved(local)
    assert outcome.settings.explicit() == {}
    assert len(outcome.warnings) == 1
    assert f"{local} line 1" in outcome.warnings[0]
    assert "[codecarbon]" in outcome.warnings[0]


def test_a_duplicate_key_is_told_and_the_last_one_counts(local: Path) -> None:
    local.write_text("[codecarbon]\npue = 2\npue = 3\n", encoding="utf-8")
    outcome = resolved(local)
    assert outcome.settings.pue == 3
    assert outcome.warnings == [
        f"{local} line 3: pue is set twice ({local} line 2); the last value is used"
    ]


def test_a_duplicate_section_goes_on_with_the_first(local: Path) -> None:
    local.write_text("[codecarbon]\npue = 2\n[codecarbon]\nwue = 3\n", encoding="utf-8")
    assert resolved(local).settings.explicit() == {"pue": 2, "wue": 3}


@pytest.mark.parametrize("line", ["just words", "[codecarbon", "= 5"])
def test_a_malformed_line_is_told_and_the_others_count(local: Path, line: str) -> None:
    text = f"[codecarbon]\nwue = 1\n{line}\n[codecarbon]\npue = 2\n"
    local.write_text(text, encoding="utf-8")
    outcome = resolved(local)
    assert outcome.settings.explicit() == {"wue": 1, "pue": 2}
    assert len(outcome.warnings) == 1
    assert f"{local} line 3" in outcome.warnings[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[codecarbon]\npue = 2\n".encode("utf-16"), "UTF-16"),
        ("[codecarbon]\npue = 2\n".encode("utf-16-be"), "NUL"),
        (b"[codecarbon]\npue = 2\0\n", "NUL"),
        (b"[codecarbon]\npue = 2\n" + b"#" * 2**20, "1 MiB"),
    ],
    ids=["utf-16", "utf-16-be without mark", "nul", "huge"],
)
def test_a_file_that_is_no_small_utf8_text_is_one_warning(
    local: Path, content: bytes, reason: str
) -> None:
    local.write_bytes(content)
    outcome = resolved(local, {"CODECARBON_WUE": "1"})
    assert outcome.settings.explicit() == {"wue": 1}
    assert len(outcome.warnings) == 1
    assert str(local) in outcome.warnings[0]
    assert reason in outcome.warnings[0]


def test_a_setting_that_is_not_utf8_is_one_warning_and_the_others_count(local: Path) -> None:
    text = "# Québec\n[codecarbon]\npue = 2\nregion = Québec\n[Québec]\nnom = Québec\n"
    local.write_bytes(text.encode("latin-1"))
    outcome = resolved(local)
    assert outcome.settings.explicit() == {"pue": 2}
    assert len(outcome.warnings) == 1
    assert f"{local} line 4: it is not UTF-8" in outcome.warnings[0]


NO_LINE_ENDS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"]


@pytest.mark.parametrize("character", NO_LINE_ENDS)
def test_only_a_line_feed_ends_a_line(local: Path, character: str) -> None:
    text = (
        f"[codecarbon]\nproject_name = a{character}pue = 9\n# x{character}wue = 9\nregion = Ohio\n"
    )
    local.write_bytes(text.encode())
    assert values(local) == {"project_name": f"a{character}pue = 9", "region": "Ohio"}
    assert read_file(local).values["region"].origin.place == f"{local} line 4"


def test_indented_settings_are_settings_and_deeper_lines_continue_them(local: Path) -> None:
    text = "  [codecarbon]\n  pue = 2\n  gpu_ids = 0,\n    1\n  [other]\n  wue = 9\n"
    local.write_text(text, encoding="utf-8")
    assert values(local) == {"pue": "2", "gpu_ids": "0,\n1"}


def test_a_setting_over_the_default_section_is_not_set_twice(local: Path) -> None:
    local.write_text("[DEFAULT]\npue = 2\n[codecarbon]\npue = 3\n", encoding="utf-8")
    outcome = resolved(local)
    assert (outcome.settings.pue, outcome.warnings) == (3, [])


# --- huge and hostile files and variables ---------------------------------------------------------

MIB = 2**20 - 200


def filled(unit: str) -> str:
    return (unit * (MIB // len(unit)))[:MIB] + "\n"


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (f"region{filled(' ')}", 1),
        (f"region = a\n{filled(' b' + chr(10))}", 2),
        (filled("\n"), 0),
        (filled("# x\n"), 0),
        (filled("a\n"), 22),
        (filled("region = a\n"), 23),
        (filled("[\n"), 22),
        ("".join(f"tracking_mod{i} = 1\n" for i in range(4000)), 11),
        ("".join(f"k{i} = 1\n" for i in range(80_000)), 12),
        (f"{filled('k')[:-1]} = 1\n", 1),
        (f"intensity_year = {filled('9')}", 1),
        (f"gpu_ids = {filled('1,')}", 1),
        (f"output_dir = {filled('a/')}", 1),
        (f"emissions_endpoint = {filled('://')}", 1),
        (f"metadata = {filled('[')}", 1),
        (f"region = a{filled(' #')}", 0),
    ],
    ids=[
        "blanks", "continuation", "no content", "comments", "no settings", "set twice", "sections",
        "typos", "unknown", "long name", "digits", "list", "path", "address", "brackets", "comment",
    ],
)  # fmt: skip
def test_a_file_of_any_content_is_a_few_short_warnings(local: Path, text: str, most: int) -> None:
    local.write_text(f"[codecarbon]\npue = 2\n{text}", encoding="utf-8")
    outcome = resolved(local)
    assert outcome.settings.pue == 2
    assert len(outcome.warnings) <= most
    assert all(len(warning) < 300 + len(str(local)) * 2 for warning in outcome.warnings)


def test_what_is_not_listed_is_counted(local: Path) -> None:
    lines = [f"k{i} = 1\n" for i in range(30)] + ["nothing\n"] * 30
    local.write_text(f"[codecarbon]\n{''.join(lines)}", encoding="utf-8")
    warnings = resolved(local).warnings
    assert f"{local}: 10 more problems" in warnings
    assert f"from {local} line 12 on: 20 more settings that do not exist" in warnings


def test_many_and_long_variables_are_a_few_short_warnings(local: Path) -> None:
    environ = {f"{way}_{i}": "x" for i in range(5000) for way in ("CODECARBON", "codecarbon")}
    environ |= {f"CODECARBON_{'k' * 100_000}": "x", "CODECARBON_PUE": "9" * 100_000}
    environ["CODECARBON_WUE"] = "3"
    outcome = resolved(local, environ)
    assert outcome.settings.explicit() == {"wue": 3}
    assert len(outcome.warnings) < 40
    assert all(len(warning) < 300 for warning in outcome.warnings)
    assert any("more variables" in warning for warning in outcome.warnings)


def test_a_long_value_is_not_shown_in_part_either(local: Path) -> None:
    password = "hunter2" + "x" * 300
    environ = {"CODECARBON_PUE": f"http://me:{password}@host"}
    (warning,) = resolved(local, environ).warnings
    assert "hunter2" not in warning
    assert "a text of" in warning


def test_a_directory_is_one_warning(local: Path) -> None:
    local.mkdir()
    outcome = resolved(local)
    assert len(outcome.warnings) == 1
    assert str(local) in outcome.warnings[0]


def test_a_fifo_is_not_waited_for(local: Path) -> None:
    os.mkfifo(local)
    outcome = resolved(local)
    assert outcome.warnings == [
        f"{local}: cannot be read (not a regular file); its settings are not used"
    ]


def test_a_dangling_symlink_is_an_absent_file(local: Path) -> None:
    local.symlink_to(local.with_name("nowhere"))
    assert resolved(local).settings.explicit() == {}


def test_a_symlink_to_itself_is_one_warning(local: Path) -> None:
    local.symlink_to(local)
    outcome = resolved(local)
    assert len(outcome.warnings) == 1
    assert str(local) in outcome.warnings[0]


UNREADABLE = """
import os, tempfile
from pathlib import Path
from carbon_core.config.resolve import resolve
if os.getuid() == 0:
    os.setuid(65534)  # root may read everything
with tempfile.TemporaryDirectory() as place:
    file = Path(place, ".codecarbon.config")
    file.write_text("[codecarbon]\\nwue = 3\\n")
    file.chmod(0)
    away = Path(place, "away")
    outcome = resolve({}, environ={"CODECARBON_PUE": "2"}, home=away, directory=Path(place))
    print(outcome.settings.explicit())
    print(*(text.replace(str(file), "FILE") for text in outcome.warnings), sep="\\n")
"""


def test_an_unreadable_file_is_one_warning() -> None:
    child = subprocess.run(
        [sys.executable, "-c", UNREADABLE],
        env={"PYTHONPATH": str(Path(carbon_core.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert child.stdout.splitlines() == [
        "{'pue': 2}",
        "FILE: cannot be read (Permission denied); its settings are not used",
    ], child.stderr


# --- secrets ------------------------------------------------------------------------------------

SECRET = "hunter2-in-a-file"


@pytest.mark.parametrize(
    "text",
    [
        f"electricitymaps_api_token = {SECRET}\n",
        f"[codecarbon]\nelectricitymaps_api_token {SECRET}\n",
        f"[codecarbon\nelectricitymaps_api_token = {SECRET}\n",
        f"[codecarbon]\napi_key = {SECRET}\napi_key = {SECRET}-2\n",
        f"[codecarbon]\nelectricitymaps_api_tokens = {SECRET}\n",
    ],
    ids=["no section", "no separator", "torn section", "set twice", "unknown key"],
)
def test_a_secret_in_a_malformed_file_is_in_no_warning(local: Path, text: str) -> None:
    local.write_text(text, encoding="utf-8")
    outcome = resolved(local)
    assert outcome.warnings
    assert SECRET not in "\n".join(outcome.warnings)


def test_a_password_within_an_address_is_in_no_warning(local: Path) -> None:
    environ = {"CODECARBON_EMISSIONS_ENDPOINT": f"http://me:{SECRET}@host:port/path"}
    outcome = resolved(local, environ)
    assert len(outcome.warnings) == 1
    assert SECRET not in outcome.warnings[0]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_secret_that_others_can_read_is_one_warning(local: Path) -> None:
    local.write_text(f"[codecarbon]\napi_key = {SECRET}\n", encoding="utf-8")
    local.chmod(0o644)
    outcome = resolved(local)
    assert len(outcome.warnings) == 1
    assert str(local) in outcome.warnings[0]
    assert "chmod 600" in outcome.warnings[0]
    local.chmod(0o600)
    assert resolved(local).warnings == []


# --- through the public tracker, in a real directory ----------------------------------------------


@pytest.fixture
def workplace(local: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory's file, the process being there with an empty home."""
    monkeypatch.setenv("HOME", str(local.parent.with_name("home")))
    monkeypatch.chdir(local.parent)
    return local


def measured(caplog: pytest.LogCaptureFixture) -> tuple[EmissionsTracker, list[str]]:
    with EmissionsTracker(save_to_file=False) as tracker:
        pass
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    return tracker, [text for text in warnings if NAME in text or "CODECARBON_" in text]


@pytest.mark.parametrize(
    "content",
    [
        b"pue = 2\n",
        b"[codecarbon]\npue = two\n",
        "[codecarbon]\nregion = Québec\n".encode("latin-1"),
        "[codecarbon]\npue = 2\n".encode("utf-16"),
        b"[codecarbon]\npue = 2\0\n",
    ],
    ids=["no section", "bad value", "latin-1", "utf-16", "nul"],
)
def test_a_bad_file_is_one_warning_and_the_run_is_measured(
    workplace: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    workplace.write_bytes(content)
    tracker, warnings = measured(caplog)
    assert tracker.final_emissions is not None
    assert tracker.final_emissions > 0
    assert tracker.settings.pue == 1.0
    assert len(warnings) == 1


@pytest.mark.parametrize("value", ["", "-1", "inf", "1e400", "1s", "1_000"])
def test_a_bad_interval_is_one_warning_and_the_run_is_measured(
    workplace: Path,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CODECARBON_MEASURE_POWER_SECS", value)
    tracker, warnings = measured(caplog)
    assert tracker.final_emissions is not None
    assert tracker.final_emissions > 0
    assert tracker.settings.measure_power_secs == 15
    assert len(warnings) == 1
    assert "CODECARBON_MEASURE_POWER_SECS" in warnings[0]


def test_a_working_directory_that_is_gone_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    tracker, warnings = measured(caplog)
    assert tracker.final_emissions is not None
    assert warnings == []

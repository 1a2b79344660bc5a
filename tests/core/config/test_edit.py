"""Writing one setting changes one line; everything else in the file stays as it was."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_core import ConfigError
from carbon_core.config.edit import write_setting
from carbon_core.config.sources import read_file

SECRET = "hunter2-in-an-edit"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".codecarbon.config"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_absent_file_is_made_with_its_section(file: Path) -> None:
    write_setting(file, "pue", "1.2")
    assert file.read_text() == "[codecarbon]\npue = 1.2\n"
    assert mode(file) == 0o644


BEFORE = """\
# the cluster's own
[other]
pue = 9

[codecarbon]
; two lines of
; comment
Project_Name = old  # keep me
output_dir=results
region = a
  b

[last]
x = 1
"""


def test_only_the_line_of_the_key_changes(file: Path) -> None:
    file.write_text(BEFORE)
    write_setting(file, "project_name", "new")
    assert file.read_text() == BEFORE.replace("Project_Name = old", "project_name = new")


def test_a_new_key_goes_to_the_end_of_the_section(file: Path) -> None:
    file.write_text(BEFORE)
    write_setting(file, "pue", "1.5")
    assert file.read_text() == BEFORE.replace("  b\n", "  b\npue = 1.5\n")


def test_the_continuation_of_the_old_value_goes_with_it(file: Path) -> None:
    file.write_text(BEFORE)
    write_setting(file, "region", "Ohio")
    assert file.read_text() == BEFORE.replace("region = a\n  b\n", "region = Ohio\n")


def test_a_file_without_the_section_gets_it(file: Path) -> None:
    file.write_text("# mine\n")
    write_setting(file, "pue", "1.5")
    assert file.read_text() == "# mine\n\n[codecarbon]\npue = 1.5\n"


def test_of_a_key_set_twice_the_one_that_counts_changes(file: Path) -> None:
    file.write_text("[codecarbon]\npue = 1\npue = 2\n")
    write_setting(file, "pue", "3")
    assert file.read_text() == "[codecarbon]\npue = 1\npue = 3\n"


def test_line_ends_stay(file: Path) -> None:
    file.write_bytes(b"[codecarbon]\r\npue = 1\r\n")
    write_setting(file, "wue", "2")
    assert file.read_bytes() == b"[codecarbon]\r\npue = 1\r\nwue = 2\r\n"


def test_a_file_with_a_secret_is_for_its_owner_alone(file: Path) -> None:
    file.write_text("[codecarbon]\n")
    file.chmod(0o664)
    write_setting(file, "pue", "1.5")
    assert mode(file) == 0o664
    write_setting(file, "electricitymaps_api_token", SECRET)
    assert mode(file) == 0o600
    write_setting(file, "pue", "1.6")
    assert mode(file) == 0o600


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_a_new_file_follows_the_umask_and_one_with_a_secret_does_not(
    file: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        write_setting(file, "pue", "1.5")
        assert mode(file) == 0o666 & ~umask
        write_setting(file.with_name("secret"), "electricitymaps_api_token", SECRET)
        assert mode(file.with_name("secret")) == 0o600
    finally:
        os.umask(before)


def test_a_link_stays_a_link(file: Path) -> None:
    target = file.with_name("dotfiles")
    target.write_text("[codecarbon]\n")
    file.symlink_to(target)
    write_setting(file, "pue", "1.5")
    assert file.is_symlink()
    assert "pue = 1.5" in target.read_text()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("puee", "1", "there is no setting 'puee'"),
        ("pue", "abc", "pue must be a number of at least 1"),
        ("project_name", "two\nlines = 1", "a file cannot contain"),
        ("project_name", "a # b", "set CODECARBON_PROJECT_NAME instead"),
        ("project_name", " padded ", "a file cannot contain"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_alone(
    file: Path, key: str, value: str, says: str
) -> None:
    file.write_text(BEFORE)
    with pytest.raises(ConfigError, match=says):
        write_setting(file, key, value)
    assert file.read_text() == BEFORE


def test_a_secret_that_a_file_cannot_hold_is_not_told(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write_setting(file, "api_key", f"{SECRET} # x")
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_not_written(file: Path) -> None:
    file.write_bytes("[codecarbon]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        write_setting(file, "pue", "1.5")
    assert file.read_bytes() == "[codecarbon]\n".encode("utf-16")


def test_a_directory_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_setting(tmp_path / "away" / "file", "pue", "1.5")


KEYS = st.sampled_from(["project_name", "region", "experiment_name", "logger_preamble"])
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
LINES = st.lists(
    st.sampled_from(["", "# note", "[codecarbon]", "[other]", "region = x", "  more", "=", "pue 1"])
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(LINES, st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_whatever_the_file_holds_the_last_value_set_is_read_back(
    lines: list[str], edits: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "config")
        file.write_text("\n".join(lines), encoding="utf-8")
        expected = {}
        for key, value in edits:
            try:
                write_setting(file, key, value)
            except ConfigError as error:
                assert "a file cannot contain" in str(error)
                continue
            expected[key] = value
        values = read_file(file).values
        assert {key: values[key].value for key in expected} == expected
        assert os.listdir(directory) == ["config"]

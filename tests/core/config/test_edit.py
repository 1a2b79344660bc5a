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


def test_a_mistyped_country_is_refused_with_a_suggestion(file: Path) -> None:
    write_setting(file, "country_iso_code", "polska")
    with pytest.raises(ConfigError, match=r"did you mean POL \(Poland\)\?"):
        write_setting(file, "country_iso_code", "Polnd")
    assert file.read_text() == "[codecarbon]\ncountry_iso_code = polska\n"


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


OTHERS = "\x0b \x0c \x1c \x85 \u2028 \u2029 \xa0".encode() + b"\xe9\xff"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_other_byte_stays(file: Path, line_end: bytes, mark: bytes) -> None:
    before = mark + line_end.join(
        [b"# " + OTHERS, b"[codecarbon]", b"region = " + OTHERS, b"PUE=1" + b"\t; " + OTHERS, b"# "]
    )
    file.write_bytes(before)
    write_setting(file, "pue", "2")
    assert file.read_bytes() == before.replace(b"PUE=1", b"pue = 2")
    assert read_file(file).values["pue"].value == "2"
    write_setting(file, "wue", "3")
    expected = before.replace(b"PUE=1", b"pue = 2") + line_end + b"wue = 3" + line_end
    assert file.read_bytes() == expected


def test_mixed_line_ends_stay_and_a_new_line_has_that_of_the_line_above(file: Path) -> None:
    before = b"# a\n[codecarbon]\r\nregion = x\npue = 1\r\n\r\n[other]\nx = 1"
    file.write_bytes(before)
    write_setting(file, "region", "y")
    write_setting(file, "wue", "3")
    expected = before.replace(b"= x\n", b"= y\n").replace(b"1\r\n\r\n", b"1\r\nwue = 3\r\n\r\n")
    assert file.read_bytes() == expected


def test_a_line_without_a_value_keeps_what_follows(file: Path) -> None:
    before = "[codecarbon]\nregion\n  pue = 2\n  wue = 1\n\n# mine\n"
    file.write_text(before, encoding="utf-8")
    write_setting(file, "region", "Ohio")
    assert file.read_text() == before + "  region = Ohio\n"
    values = {key: found.value for key, found in read_file(file).values.items()}
    assert values == {"pue": "2", "wue": "1", "region": "Ohio"}


def test_comments_and_blank_lines_within_a_value_stay(file: Path) -> None:
    file.write_text("[codecarbon]\nregion = a ; 1\n  b\n# 2\n\n  c # 3\nwue = 1\n")
    write_setting(file, "region", "Ohio")
    assert file.read_text() == "[codecarbon]\nregion = Ohio ; 1\n# 2\n\n # 3\nwue = 1\n"


def test_an_indented_section_stays_indented(file: Path) -> None:
    before = "  [codecarbon]\n  pue = 1\n  [other]\n  x = 1\n"
    file.write_text(before, encoding="utf-8")
    write_setting(file, "pue", "2")
    write_setting(file, "wue", "1")
    assert file.read_text() == before.replace("pue = 1\n", "pue = 2\n  wue = 1\n")


def test_a_setting_of_the_default_section_stays(file: Path) -> None:
    file.write_text("[DEFAULT]\npue = 1\n")
    write_setting(file, "pue", "2")
    assert file.read_text() == "[DEFAULT]\npue = 1\n\n[codecarbon]\npue = 2\n"
    assert read_file(file).values["pue"].value == "2"


def test_a_last_line_without_a_line_break_stays_without(file: Path) -> None:
    file.write_text("[codecarbon]\npue = 1")
    write_setting(file, "pue", "2")
    assert file.read_text() == "[codecarbon]\npue = 2"


def test_a_value_that_is_not_utf8_is_replaced(file: Path) -> None:
    file.write_bytes(b"[codecarbon]\nregion = Qu\xe9bec\n# Qu\xe9bec\n")
    write_setting(file, "region", "Québec")
    assert file.read_bytes() == "[codecarbon]\nregion = Québec\n".encode() + b"# Qu\xe9bec\n"


VALUES_WITH_CARE = [
    "", " ", "a ", "\ta", "#a", "a #b", "a#b", ";", "a\nb", "a\n\nb", "a\r", "a\rb", "a\x85", "a\x85b",
    "\x0c", "a\u2028b", "[x]", "= a", "a = b", "a\n[other]", "\0", "\ud800", "\ufeff", "\xa0a", '"a"',
    "%(x)s", "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES_WITH_CARE)
@pytest.mark.parametrize("before", [BEFORE, "", "[codecarbon]\nproject_name = \n  more\n"])
def test_a_value_is_read_back_equal_or_refused(file: Path, before: str, value: str) -> None:
    file.write_text(before, encoding="utf-8")
    try:
        write_setting(file, "project_name", value)
    except ConfigError as error:
        assert "project_name" in str(error)
        assert file.read_text(encoding="utf-8") == before
    else:
        source = read_file(file)
        assert source.values["project_name"].value == value
        assert source.problems == []


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_owner_and_mode_stay(file: Path) -> None:
    file.write_text("[codecarbon]\n")
    os.chown(file, 4321, 1234)
    file.chmod(0o640)
    write_setting(file, "pue", "1.5")
    after = file.stat()
    assert (after.st_uid, after.st_gid, mode(file)) == (4321, 1234, 0o640)


def test_a_file_is_not_made_larger_than_can_be_read(file: Path) -> None:
    before = b"[codecarbon]\n" + b"#" * (2**20 - 20)
    file.write_bytes(before)
    with pytest.raises(ConfigError, match="1 MiB"):
        write_setting(file, "pue", "1.5")
    assert file.read_bytes() == before


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


def test_a_full_disk_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(BEFORE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_setting(file, "pue", "1.5")
    assert file.read_text() == BEFORE
    assert os.listdir(file.parent) == [file.name]

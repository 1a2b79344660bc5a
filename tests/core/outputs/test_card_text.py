"""The emissions in a model card: whatever else is in its metadata stays, to the byte."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from carbon_core.errors import OutputError
from carbon_core.outputs import card_text
from carbon_core.outputs.card_text import with_entry, write_card_entry

yaml = pytest.importorskip("yaml", reason="comes with huggingface_hub")

ENTRY = {"emissions": 12.5, "source": "carbon-callbacks 1.0; Ember", "hardware_used": "2 x A100"}
LINES = """\
co2_eq_emissions:
  emissions: 12.5
  source: carbon-callbacks 1.0; Ember
  hardware_used: "2 x A100"
"""
# What a dump of the parsed metadata would change.
REST = """\
# about the model
language: no
license: "mit"   # in quotes
tags: [b, 'a']
version: 1.10
date: 2024-01-01
model-index:
- name: 'x'
  results:
    - task: {type: text-generation}
      metrics: &m
      - {value: 1e3, verified: off}
other: *m
text: |
  ---
  co2_eq_emissions: 5
"""
BODY = "# Title\n\n---\nco2_eq_emissions: 7\n"


def card(metadata: str, body: str = BODY) -> bytes:
    return f"---\n{metadata}---\n{body}".encode()


def test_a_card_without_the_entry_gets_it_as_the_last_one() -> None:
    assert with_entry(card(REST), ENTRY) == card(REST + LINES)


@pytest.mark.parametrize(
    "old",
    [
        "co2_eq_emissions: 3\n",
        "co2_eq_emissions:\n  emissions: 3\n  source: x\n",
        '"co2_eq_emissions" : {emissions: 3,\n  source: x}\n',
        "'co2_eq_emissions':\n- 1\n- 2\n",
        "co2_eq_emissions: |\n  some\n\n  text\n",
        "co2_eq_emissions:\n  # in grams\n\n  emissions: 3\n",
        LINES,
    ],
)
@pytest.mark.parametrize("after", ["", "# of the next\nlicense: mit\n", "\n\nlast: no\n"])
def test_an_entry_that_is_there_is_replaced_where_it_is(old: str, after: str) -> None:
    assert with_entry(card(REST + old + after), ENTRY) == card(REST + LINES + after)


def test_a_comment_beside_the_key_stays() -> None:
    old = "co2_eq_emissions:  # see the paper\n  emissions: 1\n"
    new = with_entry(card(old), ENTRY)
    assert new == card(LINES.replace("emissions:", "emissions:  # see the paper", 1))


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_breaks_are_those_of_the_card(newline: str) -> None:
    before, after = (
        card(text).decode().replace("\n", newline).encode() for text in (REST, REST + LINES)
    )
    assert with_entry(before, ENTRY) == after
    assert with_entry(after, ENTRY) == after


@pytest.mark.parametrize("body", ["", "no final line break", "\n\n"])
def test_the_end_of_the_card_stays(body: str) -> None:
    assert with_entry(card(REST, body), ENTRY) == card(REST + LINES, body)
    assert with_entry(b"---\nlanguage: no\n---", ENTRY) == f"---\nlanguage: no\n{LINES}---".encode()


def test_marks_and_bytes_of_other_encodings_stay() -> None:
    body = b"caf\xe9 \xff\x00"
    for head in (b"\xef\xbb\xbf", b"", b"\n"):
        assert with_entry(head + card(REST) + body, ENTRY) == head + card(REST + LINES) + body


@pytest.mark.parametrize("body", ["", "# Title\n", "# Title\n---\na: b\n---\n"])
def test_a_card_without_metadata_gets_some(body: str) -> None:
    assert with_entry(body.encode(), ENTRY) == card(LINES, body)


def test_empty_metadata_get_the_entry() -> None:
    assert with_entry(card("", BODY), ENTRY) == card(LINES)
    assert with_entry(card("# none yet\n"), ENTRY) == card("# none yet\n" + LINES)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "Null",
        "a: b",
        "x #y",
        "- a",
        "7",
        " pad",
        'q"\\',
        "é\u2028",
        "\x1b[0m",
        "",
        "😀",
        "1e5",
    ],
)
def test_any_text_is_read_back_as_it_is(text: str) -> None:
    data = with_entry(card(REST), {"emissions": 0.0, "source": text})
    assert yaml.safe_load(data.split(b"\n---\n")[0])["co2_eq_emissions"]["source"] == text


@pytest.mark.parametrize("grams", [0.0, 0.0001, 3.0, 12345678.9, 1e15])
def test_the_number_has_no_exponent(grams: float) -> None:
    data = with_entry(card(""), {"emissions": grams})
    assert b"e" not in data.split(b"emissions: ")[1].split(b"\n")[0]
    assert yaml.safe_load(data.split(b"\n---\n")[0])["co2_eq_emissions"]["emissions"] == grams


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"---\nlicense: mit\n", "have no end"),
        (card("license: mit\ntags: [a\n"), r"not YAML: .* \(line \d"),
        (card("a: b: c\n"), r"not YAML: mapping values are not allowed here \(line 2\)"),
        (card("just text\n"), "form key: value"),
        (card("{license: mit}\n"), "leave no room"),
        (card("co2_eq_emissions: 1\nco2_eq_emissions: 2\n"), "more than once"),
        (card("co2_eq_emissions: &a\n  x: 1\nb: *a\n"), "leave no room"),
        (card("a: 1\n").decode().encode("utf-16"), "UTF-16"),
    ],
)
def test_what_cannot_be_edited_stays_and_says_why(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(data)
    with pytest.raises(OutputError, match=reason) as caught:
        write_card_entry(path, ENTRY)
    assert str(caught.value).startswith(str(path))
    assert path.read_bytes() == data


def test_the_file_is_replaced_at_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "blob", tmp_path / "README.md"
    path.write_bytes(card(REST))
    path.chmod(0o640)
    link.symlink_to(path)
    write_card_entry(link, ENTRY)
    assert link.is_symlink()
    assert path.read_bytes() == card(REST + LINES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_card_entry(link, {"emissions": 1.0})
    assert path.read_bytes() == card(REST + LINES)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["README.md", "blob"]


def test_without_a_parser_the_lines_are_edited_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert card_text.with_entry(card(REST + "co2_eq_emissions: 1\n"), ENTRY) == card(REST + LINES)


# --- metadata that someone else wrote -------------------------------------------------------------

LEVELS = "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
    for below, name in pairwise("abcdefghijkl")
)
ODD = {
    "aliases within aliases": f"a: &a [x, x]\n{LEVELS}",
    "in a text over lines": 'a: "b\n\n  co2_eq_emissions: 5\n  c"\n',
    "within another mapping": "model-index:\n  co2_eq_emissions:\n    emissions: 5\n",
    "as a value": "a: co2_eq_emissions\n",
    "as an item": "a:\n- co2_eq_emissions: 5\n- co2_eq_emissions: 6\n",
    "incomplete model index": "model-index:\n- name: x\n- {}\n-\n",
    "evaluations of two models": "model-index:\n- {name: x, results: []}\n- {name: y}\neval_results: [1]\n",  # noqa: E501
    "duplicate keys of others": "a: 1\na: 2\n",
    "a tag that would run code": "a: !!python/object/apply:os.system ['false']\n",
    "aliases and merge keys": "a: &m {co2_eq_emissions: 3}\n<<: *m\nb: *m\n",
    "a complex key": "? [a, b]\n: c\n",
    "many keys": "".join(f"key{i}: no\n" for i in range(2000)),
    "a long list": "tags:\n" + "- a\n" * 5000,
}


@pytest.mark.parametrize("metadata", ODD.values(), ids=ODD)
def test_odd_metadata_stay_as_they_are(metadata: str) -> None:
    assert with_entry(card(metadata), ENTRY) == card(metadata + LINES)
    old = "co2_eq_emissions: {emissions: 3}\n"
    assert with_entry(card(old + metadata), ENTRY) == card(LINES + metadata)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ("a: " + "[" * 100_000 + "\n", "not YAML|levels"),
        ("a: " + "[" * 400 + "]" * 400 + "\n", "levels"),
        ("? " * 50_000 + "\n", "levels"),
        ("- " * 50_000 + "\n", "form key: value"),
        ("a: *b\n", "undefined alias b"),
        ("a: &x 1\nco2_eq_emissions: &x 2\nb: *x\n", "leave no room"),
        ("a: b\n...\n", "leave no room"),
        ("a: b\n... \n--- \nc: d\n", "have no end|leave no room|more than one|not YAML"),
        ("a: b\u2028co2_eq_emissions: 5\n", "leave no room"),
        ("a: b\n\tc: d\n", "not YAML"),
        ("a: \0\n", "not YAML"),
        ('"co2_eq\\x5femissions": 1\nco2_eq_emissions: 2\n', "more than once"),
    ],
)
def test_hostile_metadata_are_one_short_error(tmp_path: Path, metadata: str, reason: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(card(metadata))
    with pytest.raises(OutputError, match=reason) as caught:
        write_card_entry(path, ENTRY)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert path.read_bytes() == card(metadata)


def test_metadata_that_are_not_utf8_are_an_error() -> None:
    with pytest.raises(OutputError, match="not UTF-8"):
        with_entry(card("a: b\n").replace(b"b", b"\xe9"), ENTRY)


def test_a_huge_card_a_huge_entry_and_a_loop_of_links_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.touch()
    os.truncate(path, 2**30)
    with pytest.raises(OutputError, match="larger than 16 MiB"):
        write_card_entry(path, ENTRY)
    with pytest.raises(OutputError, match="would have"):
        with_entry(card(REST), {"source": "x" * 10**6})
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match=r"loop|symbolic"):
        write_card_entry(loop, ENTRY)

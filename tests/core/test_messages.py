"""Lines for people: said once, on the user's thread only, without anything a terminal would run."""

from __future__ import annotations

import logging
import sys

import pytest

from carbon_core.escaping import one_line
from carbon_core.messages import LOGGER_NAME, Messages

LOGGER = logging.getLogger(LOGGER_NAME)


def unconfigure_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a program that has not configured logging (called late: pytest adds handlers early)."""
    monkeypatch.setattr(LOGGER, "propagate", False)
    monkeypatch.setattr(LOGGER, "handlers", [])


def test_lines_go_through_logging_where_it_is_configured(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = Messages()
    messages.warn("100 % of it")
    messages.deliver()
    assert caplog.record_tuples == [("carbon_callbacks", logging.WARNING, "100 % of it")]
    assert capsys.readouterr() == ("", "")


def test_lines_go_to_standard_error_where_it_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unconfigure_logging(monkeypatch)
    messages = Messages(preamble="[rank 0] ")
    messages.warn("something")
    messages.deliver()
    assert capsys.readouterr() == ("", "carbon-callbacks: [rank 0] something\n")


def test_nothing_is_shown_before_delivery(caplog: pytest.LogCaptureFixture) -> None:
    Messages().warn("from the sampler's thread")
    assert caplog.records == []


def test_a_line_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages()
    for _ in range(3):
        messages.warn("again")
        messages.deliver()
    assert [record.getMessage() for record in caplog.records] == ["again"]


@pytest.mark.parametrize(
    ("level", "shown"), [(logging.DEBUG, 2), (logging.INFO, 2), (logging.WARNING, 1), (60, 0)]
)
def test_lines_below_the_level_are_not_shown(
    level: int, shown: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    messages = Messages(level)
    messages.post(logging.INFO, "a summary")
    messages.warn("a warning")
    messages.deliver()
    assert len(caplog.records) == shown


def test_a_flood_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages()
    for i in range(10_000):
        messages.warn(f"warning {i}")
    messages.deliver()
    assert len(caplog.records) == 64


def test_an_error_is_shown_after_any_flood(caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages(logging.ERROR)
    for i in range(100):
        messages.warn(f"warning {i}")
    messages.error("lost")
    messages.deliver()
    assert caplog.record_tuples == [("carbon_callbacks", logging.ERROR, "lost")]


def test_control_characters_and_escapes_become_blanks() -> None:
    text = "a\nb\x1b[31mc\rd\0e\u202ef\ud800g"
    assert one_line(text) == "a b [31mc d e f g"


def test_a_line_is_at_most_a_thousand_characters_long() -> None:
    assert one_line("x" * 1_000_000) == "x" * 1_000


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_closed_or_absent_standard_error_is_nobody_to_tell(
    stream: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = None
    if stream == "closed":
        file = (tmp_path_factory.mktemp("stderr") / "file").open("w", encoding="utf-8")
        file.close()
    unconfigure_logging(monkeypatch)
    monkeypatch.setattr(sys, "stderr", file)
    messages = Messages()
    messages.warn("to nobody")
    messages.deliver()


def test_a_standard_error_that_cannot_show_a_character_is_survived(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("stderr") / "file"
    with path.open("w", encoding="ascii") as file:
        unconfigure_logging(monkeypatch)
        monkeypatch.setattr(sys, "stderr", file)
        messages = Messages()
        messages.warn("Zürich")
        messages.warn("plain")
        messages.deliver()
    assert path.read_text(encoding="ascii") == "carbon-callbacks: plain\n"


def test_no_handler_is_installed_and_no_level_changed() -> None:
    Messages(logging.DEBUG).deliver()
    assert (LOGGER.handlers, LOGGER.level) == ([], logging.NOTSET)


@pytest.mark.parametrize(
    "text",
    [
        "ConnectionError('http://host:1/take?api_key=planted')",
        "Max retries exceeded with url: /take?token=planted&x=1 (Caused by",
        "https://me:planted@host/#planted: no connection",
        "must be an HTTP address, got 'https://me:pla/planted@host'",
        "http://me:p@planted@host/x",
    ],
)
def test_no_line_has_the_secrets_of_an_address(text: str, caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages()
    messages.warn(f"it failed: {text}; is it right?")
    messages.deliver()
    (line,) = caplog.messages
    assert "planted" not in line
    assert "it failed" in line
    assert "is it right?" in line


def test_a_preamble_from_a_file_of_others_is_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unconfigure_logging(monkeypatch)
    messages = Messages(preamble="\x1b[31m\nforged ")
    messages.warn("a\u202eb\nc")
    messages.deliver()
    assert capsys.readouterr().err == "carbon-callbacks:  [31m forged a b c\n"

"""How a tracker, a window, a task and a report are displayed: one line, and a table for notebooks."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from faults.lab import LabTracker, lab
from fresh_interpreter import loaded

from carbon_core import EmissionsTracker, Report
from carbon_core.hardware.base import Meter
from carbon_core.notebook import html_of, line_of, table
from carbon_core.testing import FakeClock

HOSTILE = "<script>alert('x')</script>\x1b[31m\u202e\n&\"\ud800"


class _Cells(HTMLParser):
    """Collects the rows of a table, and the attributes of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.styles += [value or "" for name, value in attrs if name == "style"]
        self.names |= {tag, *(name for name, _ in attrs)}
        if tag in ("caption", "th", "td"):
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def shown(thing: Any) -> dict[str, str]:
    """Return the rows of the table that a notebook shows, after checks that hold for every table."""
    html = thing._repr_html_()
    cells = _Cells()
    cells.feed(html)
    cells.close()
    assert not cells.open
    assert cells.names == {"table", "caption", "tbody", "tr", "th", "td", "style", "scope"}
    colours = [text for style in cells.styles for text in re.findall(r"color: *([^;]+)", style)]
    assert set(colours) == {"inherit"}
    assert not re.search(r"url|import|expression|#|rgb|hsl", " ".join(cells.styles))
    assert html.isprintable()
    html.encode("utf-8")
    caption, *rest = cells.texts
    assert caption == type(thing).__name__
    return dict(zip(rest[::2], rest[1::2], strict=True))


def test_a_tracker_shows_its_state_before_while_and_after() -> None:
    tracker, clock = lab(100.0)
    assert repr(tracker) == "LabTracker(not started)"
    assert shown(tracker) == {"run": "not started"}
    tracker.start()
    clock.advance(36)
    assert repr(tracker).startswith("LabTracker(lab, running for ")
    while_running = shown(tracker)
    assert while_running["run"] == "lab, running for 36.0 s"
    assert while_running["energy"].startswith("1.00 Wh")
    assert tracker.running
    tracker.stop("failed")
    assert repr(tracker) == "LabTracker(lab, failed after 36.0 s: 1.00 Wh, 1.00 g CO2e)"
    after = shown(tracker)
    assert after["run"] == "lab, failed after 36.0 s"
    assert after["energy"].startswith("1.00 Wh")
    assert after["intensity"] == "1000 g CO2e/kWh, somewhere"


def test_a_copy_of_a_tracker_shows_the_last_run() -> None:
    tracker = EmissionsTracker(save_to_file=False, log_level="ERROR", project_name="p")
    tracker.start()
    tracker.stop()
    copied = pickle.loads(pickle.dumps(tracker))
    assert shown(copied)["run"].startswith("p, completed after ")


def test_a_run_without_a_meter_is_unknown() -> None:
    tracker = LabTracker(FakeClock(), list)
    tracker.start()
    assert repr(tracker) == "LabTracker(lab, running for 0 s: energy unknown: no reading yet)"
    assert shown(tracker)["energy"] == "energy unknown: no reading yet"
    tracker.stop()
    assert repr(tracker).endswith("completed after 0 s: energy unknown: no meter gave a reading)")
    assert shown(tracker)["energy"] == "energy unknown: no meter gave a reading"
    report = tracker.final_report
    assert shown(report)["energy"] == "energy unknown: no meter gave a reading"


def test_a_detection_that_fails_is_shown_as_unknown() -> None:
    def broken() -> list[Meter]:
        raise OSError("no driver")

    tracker = LabTracker(FakeClock(), broken, start_patience_s=0.0)
    tracker.start()
    shown(tracker)
    tracker.stop()
    assert shown(tracker)["energy"] == "energy unknown: no meter gave a reading"


def test_windows_show_whether_they_are_open() -> None:
    tracker, clock = lab(100.0)
    early = tracker.window("early")
    assert repr(early) == "OpenWindow(early: the tracker was not running)"
    assert shown(early) == {"window": "early: the tracker was not running", "energy": "unknown"}
    tracker.start()
    window, nameless = tracker.window("load"), tracker.window()
    clock.advance(36)
    assert repr(window) == "OpenWindow(load: open for 36.0 s)"
    assert shown(window)["energy"].startswith("1.00 Wh")
    window.close()
    clock.advance(36)
    assert repr(window) == "OpenWindow(load: 36.0 s)"
    rows = shown(window)
    assert rows["window"] == "load: 36.0 s"
    assert rows["emissions"].startswith("1.00 g CO2e")
    tracker.stop()
    assert repr(nameless) == "OpenWindow(without a name: 1 min 12 s)"
    copied = copy.copy(window)
    assert shown(copied) == {"window": "load: 36.0 s", "energy": "1.00 Wh"}


def test_tasks_and_phases_are_listed() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    for i in range(8):
        tracker.start_task(f"task {i}")
        clock.advance(36)
        data = tracker.stop_task()
    tracker.mark("validate")
    clock.advance(36)
    tracker.stop()
    rows = shown(tracker)
    assert rows["phases"] == "run 8.00 Wh, validate 1.00 Wh"
    assert rows["tasks"].startswith("2 more, task 2 1.00 Wh, ")
    task = shown(data)
    assert task["run"] == "lab, 36.0 s"
    assert (task["energy"], task["emissions"]) == ("1.00 Wh", "1.00 g CO2e")
    assert task["place"] == "somewhere"


def test_names_are_shown_as_text() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    window = tracker.window(HOSTILE)
    tracker.mark(HOSTILE)
    tracker.start_task(HOSTILE)
    clock.advance(36)
    data = tracker.stop_task()
    window.close()
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    hostile = replace(report, run=replace(report.run, project_name=HOSTILE))
    data = replace(data, project_name=HOSTILE)
    for thing in (tracker, window, hostile, data):
        assert any("<script>alert('x')</script>" in text for text in shown(thing).values()), thing
    for thing in (tracker, window, hostile):
        assert repr(thing).isprintable()


def test_a_long_name_is_shortened() -> None:
    html = table("x" * 10_000, {"y" * 10_000: "z" * 10**6})
    assert len(html) < 5_000
    assert len(line_of(object(), lambda: "z" * 10**6)) < 1_000


def test_nothing_is_raised() -> None:
    def broken() -> Any:
        raise RuntimeError("no")

    thing = object()
    assert line_of(thing, broken) == object.__repr__(thing)
    assert html_of(thing, broken) is None


@pytest.mark.parametrize("kind", [EmissionsTracker, Report], ids=lambda kind: kind.__name__)
def test_an_object_that_is_not_complete_has_a_text(kind: type) -> None:
    # As a debugger shows it while its `__init__` is running.
    incomplete: Any = kind.__new__(kind)
    assert kind.__name__ in repr(incomplete)
    assert incomplete._repr_html_() is None


def test_a_text_waits_for_no_reading() -> None:
    tracker, clock = lab(100.0)
    tracker.start()
    clock.advance(36)
    before = tracker._slot.current
    assert before is not None
    latest = before._sampler.latest
    repr(tracker)
    assert before._sampler.latest is latest
    tracker.stop()


def test_a_run_that_is_not_displayed_loads_nothing_for_it() -> None:
    run = (
        "from carbon_core import EmissionsTracker\n"
        "t = EmissionsTracker(save_to_file=False, log_level='ERROR')\n"
        "t.start(); t.stop()\n"
    )
    modules = {"carbon_core.notebook", "carbon_core.tracker.display", "html"}
    assert not modules & loaded(run)
    assert modules <= loaded(f"{run}t._repr_html_()")

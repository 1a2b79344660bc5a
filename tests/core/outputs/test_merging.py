"""Trainings put together from what their ranks and starts left."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from carbon_core.outputs.archive import Archive
from carbon_core.outputs.journal import SUFFIX, Journal
from carbon_core.outputs.merging import MISSING, merge
from carbon_core.outputs.receipt import write
from carbon_core.report import Report

MakeReport = Callable[..., Report]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "carbon_runs"
    path.mkdir()
    return path


def save(runs: Path, report: Report) -> None:
    write(report, runs / f"{report.run.run_id}.receipt.json")


def die(runs: Path, report: Report) -> None:
    """Leave a journal, as a run that was killed."""
    journal = Journal(runs / f"{report.run.run_id}{SUFFIX}", report)
    journal.append(report)
    journal.close(saved=False)


def test_runs_that_know_nothing_of_each_other_are_trainings_of_their_own(runs, make_report):
    save(runs, make_report("a"))
    save(runs, make_report("b"))
    assert [len(training.parts) for training in merge(runs.parent)] == [1, 1]


def test_two_ranks_and_an_earlier_start_add_up_each_once(runs, make_report):
    before = make_report("before", kwh=1.0)
    one = replace(make_report("one", kwh=2.0, rank=0), earlier=(before.segment,))
    other = replace(make_report("other", kwh=4.0, rank=8), earlier=(before.segment,))
    save(runs, before)
    save(runs, replace(one, others=(other.segment,)))
    save(runs, replace(other, others=(one.segment,)))
    (training,) = merge(runs)
    parts = (before, one, other)
    assert training.energy_kwh == pytest.approx(sum(part.energy_kwh.value for part in parts))
    assert training.emissions_kg == pytest.approx(sum(part.emissions_kg.value for part in parts))
    assert {part.rank for part in training.parts} == {0, 8}


def test_a_killed_rank_counts_up_to_its_last_record(runs, make_report):
    killed = make_report("killed", status="running", kwh=4.0, rank=1)
    heard = make_report("killed", kwh=3.0).segment._replace(duration_s=1.0)
    die(runs, killed)
    save(runs, replace(make_report("one", status="failed", kwh=2.0), others=(heard,)))
    (training,) = merge(runs)
    assert training.energy_kwh == pytest.approx((4.0 + 2.0) * 1.5)
    assert {part.status for part in training.parts} == {"failed", "interrupted"}


def test_a_killed_run_counts_up_to_the_checkpoint_that_is_later_than_its_journal(runs, make_report):
    die(runs, make_report("killed", status="running", kwh=1.0))
    saved = make_report("killed", kwh=3.0).segment._replace(duration_s=7300.0)
    save(runs, replace(make_report("resumed", kwh=2.0), earlier=(saved,)))
    (training,) = merge(runs)
    assert [part.status for part in training.parts] == ["interrupted", "completed"]
    assert training.energy_kwh == pytest.approx((3.0 + 2.0) * 1.5)
    assert training.energy.low < training.energy_kwh < training.energy.high


def test_a_run_that_has_ended_has_the_totals_of_its_file(runs, make_report):
    save(runs, make_report("one", kwh=1.0))
    heard = make_report("one", kwh=3.0).segment._replace(duration_s=7300.0)
    save(runs, replace(make_report("other", kwh=2.0), others=(heard,)))
    (training,) = merge(runs)
    assert training.energy_kwh == pytest.approx((1.0 + 2.0) * 1.5)


def test_a_rank_that_left_no_file_is_named_and_counts_as_it_was_last_heard_of(runs, make_report):
    gone = make_report("gone", kwh=3.0).segment
    save(runs, replace(make_report("one", kwh=2.0), others=(gone,)))
    (training,) = merge(runs)
    (missing,) = [part for part in training.parts if part.status == MISSING]
    assert missing.segment == gone
    assert training.energy_kwh == pytest.approx((3.0 + 2.0) * 1.5)


def test_what_is_no_receipt_is_passed_over(runs, make_report):
    save(runs, make_report("a"))
    (runs / "b.receipt.json").write_text("{}")
    (runs / "c.receipt.json").write_text("not JSON")
    (runs / f"d{SUFFIX}").write_text("")
    assert len(merge(runs)) == 1


def test_the_archive_knows_a_run_by_its_receipt_or_else_by_its_journal(runs, make_report):
    archive = Archive(runs.parent, "digits")
    assert archive.segment("a") is None
    die(runs, make_report("a", kwh=1.0))
    assert archive.segment("a") == make_report("a", kwh=1.0).segment
    save(runs, make_report("a", kwh=2.0))
    assert archive.segment("a") == make_report("a", kwh=2.0).segment


def test_the_archive_finds_the_last_training_of_a_project_with_what_it_continued(runs, make_report):
    first = make_report("first")
    save(runs, first)
    second = replace(make_report("second", status="failed"), earlier=(first.segment,))
    save(runs, second)
    save(runs, make_report("other", project_name="other"))
    save(runs, replace(make_report("test"), phases=()))
    (runs / "bad.receipt.json").write_text("{}")
    for age, name in enumerate(["bad", "test", "other", "second", "first"]):
        set_time(runs / f"{name}.receipt.json", 1_000_000 - age)
    assert Archive(runs.parent, "digits").last() == (first.segment, second.segment)
    assert Archive(runs.parent, "nobody").last() == ()


def test_the_archive_continues_no_training_that_ended_by_itself(runs, make_report):
    save(runs, make_report("killed", status="interrupted"))
    save(runs, make_report("whole"))
    for age, name in enumerate(["whole", "killed"]):
        set_time(runs / f"{name}.receipt.json", 1_000_000 - age)
    assert Archive(runs.parent, "digits").last() == ()


def test_the_archive_finds_the_training_of_a_trial_and_no_other(runs, make_report):
    for age, trial in enumerate(["0003", None, "0001", "0002"]):
        report = make_report(f"of-{trial}")
        save(runs, replace(report, run=replace(report.run, trial=trial)))
        set_time(runs / f"of-{trial}.receipt.json", 1_000_000 - age)
    (segment,) = Archive(runs.parent, "digits").last("0001")
    assert segment.run_id == "of-0001"
    assert Archive(runs.parent, "digits").last("0009") == ()


def set_time(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_what_cannot_be_read_is_named_and_not_waited_for(runs, make_report):
    save(runs, make_report("a"))
    os.mkfifo(runs / "b.receipt.json")
    os.mkfifo(runs / f"c{SUFFIX}")
    (runs / "d.receipt.json").symlink_to("/dev/zero")
    (runs / "e.receipt.json").write_text("[]")
    (runs / f"f{SUFFIX}").write_text("")
    skipped = []
    assert len(merge(runs.parent, lambda path, reason: skipped.append((path.name[0], reason)))) == 1
    assert skipped == [
        ("b", "cannot be read: not a regular file"),
        ("d", "cannot be read: not a regular file"),
        ("e", "is not a receipt of a run: must be an object, not a list"),
        ("c", "cannot be read: not a regular file"),
        ("f", "has no valid record of a run: there is none"),
    ]

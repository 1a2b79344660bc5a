"""Processes of a study divide the machine: together they count each joule once."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from carbon_core.hardware import study_shares
from carbon_core.hardware.study_course import Course, mean_share
from carbon_core.hardware.study_shares import Membership, StudyMeter
from carbon_core.records import COMPONENTS
from carbon_core.testing import FakeClock, FakeMeter, fake_device

SECOND = 10**9


def course(*changes: tuple[int, int], ended: int | None = None, name: str = "a") -> Course:
    found = Course(name)
    found.note_keys(0, ["cpu"])
    for t_s, count in changes:
        found.note(t_s * SECOND, count)
    if ended is not None:
        found.ended_ns = ended * SECOND
    return found


def share(own: Course, others: list[Course], begin_s: float, end_s: float) -> float:
    return mean_share(own, others, "cpu", int(begin_s * SECOND), int(end_s * SECOND))


def test_a_share_is_by_open_trials() -> None:
    own, other = course((0, 1)), course((10, 3), ended=30, name="b")
    assert share(own, [], 0, 100) == 1.0
    assert share(own, [other], 0, 10) == 1.0
    assert share(own, [other], 10, 30) == 0.25
    assert share(own, [other], 0, 20) == pytest.approx((10 + 10 / 4) / 20)
    assert share(own, [other], 20, 40) == pytest.approx((10 / 4 + 10) / 20)
    assert share(own, [other], 15, 15) == 0.25


def test_without_a_trial_the_oldest_process_counts() -> None:
    first, second = course((0, 0), ended=50), course((10, 0), name="b")
    assert share(first, [second], 0, 50) == 1.0
    assert share(second, [first], 10, 50) == 0.0
    assert share(second, [first], 40, 60) == pytest.approx(0.5)


def test_until_others_can_know_of_a_process_they_count_its_part() -> None:
    first, second = course((0, 1)), course((10, 1), name="b")
    second.keys["cpu"] = 12 * SECOND
    assert share(first, [second], 10, 14) == 0.75
    assert share(second, [first], 10, 14) == 0.25
    first.keys["cpu"] = 13 * SECOND  # of two that begin, both are known to none
    assert share(first, [second], 10, 14) + share(second, [first], 10, 14) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_the_shares_of_all_processes_are_the_machine(seed: int) -> None:
    chance = random.Random(seed)
    courses = []
    for name in "abcd"[: chance.randint(2, 4)]:
        times = sorted(chance.sample(range(100), chance.randint(1, 8)))
        found = course(*((t, chance.randint(0, 2)) for t in times), name=name)
        if chance.random() < 0.5:
            found.ended_ns = (times[-1] + chance.randint(1, 20)) * SECOND
        found.keys["cpu"] = (times[0] + chance.choice((0, 0, 3, 500))) * SECOND
        courses.append(found)
    edges = [0, *sorted(chance.sample(range(1, 130), 10)), 130]
    for begin_s, end_s in pairwise(edges):
        present_s = sum(
            any(one.is_present(t * SECOND) for one in courses) for t in range(begin_s, end_s)
        )
        shares = [
            share(one, [other for other in courses if other is not one], begin_s, end_s)
            for one in courses
        ]
        assert sum(shares) * (end_s - begin_s) == pytest.approx(present_s)


def meters(clock: FakeClock, directory: Path, count: int) -> list[tuple[Membership, Any]]:
    """Return processes of one study, each with a meter of the same machine."""
    found = []
    for _ in range(count):
        member = Membership("study", directory)
        member.add_meter(["cpu"], clock.monotonic_ns())
        meter = StudyMeter(FakeMeter(clock, lambda t_s: 100.0 * t_s), "study", COMPONENTS)
        found.append((member, meter))
    return found


class Account:
    """Adds up the readings of a meter, as a ledger does."""

    def __init__(self, member: Membership, meter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.member, self.meter, self.joules = member, meter, 0.0
        self._monkeypatch = monkeypatch
        self._value: float | None = None

    def read(self) -> None:
        with self._monkeypatch.context() as patched:
            patched.setattr(study_shares, "membership_of", lambda study_id: self.member)
            (reading,) = self.meter.read()
        if self._value is not None:
            self.joules += (reading.value - self._value) * (
                1.0 if reading.share is None else reading.share
            )
        self._value = reading.value


@pytest.mark.parametrize("seed", range(5))
def test_the_meters_of_all_processes_add_up(
    place: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance, clock = random.Random(seed), FakeClock()
    accounts = [Account(*one, monkeypatch) for one in meters(clock, place / "shared", 3)]
    began_ns = clock.monotonic_ns()
    for one in accounts:
        one.member.add_study(clock.monotonic_ns())
        one.read()
    for _ in range(200):
        clock.advance(chance.uniform(0.02, 30))
        one = chance.choice(accounts)
        if chance.random() < 0.5:
            one.member.set_trials(chance.randint(0, 2), clock.monotonic_ns())
        one.read()
    clock.advance(1)
    for one in accounts:
        one.read()
    used_j = 100.0 * (clock.monotonic_ns() - began_ns) / SECOND
    assert sum(one.joules for one in accounts) == pytest.approx(used_j, rel=1e-9)
    assert all(one.joules < 0.9 * used_j for one in accounts)
    for one in accounts:
        one.member.remove_study(clock.monotonic_ns())
    assert list((place / "shared").iterdir()) == [], "the last process leaves nothing"


def test_another_process_takes_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    first, second = (Account(*one, monkeypatch) for one in meters(clock, place / "shared", 2))
    first.member.add_study(clock.monotonic_ns())
    first.read()
    clock.advance(1)
    second.member.add_study(clock.monotonic_ns())
    second.read()
    clock.advance(10)
    first.read()
    second.read()
    assert (first.joules, second.joules) == (pytest.approx(1100), 0.0)
    first.member.remove_study(clock.monotonic_ns())
    clock.advance(10)
    second.read()
    assert second.joules == pytest.approx(1000)
    second.member.remove_study(clock.monotonic_ns())


def test_devices_of_their_own_are_not_divided(place: Path) -> None:
    clock = FakeClock()
    one, other = Membership("study", place / "shared"), Membership("study", place / "shared")
    for member in (one, other):
        member.add_run(clock.monotonic_ns())
        member.shares(["cpu"], clock.monotonic_ns(), clock.monotonic_ns())
    begin_ns = clock.monotonic_ns()
    one.shares(["gpu:0"], begin_ns, begin_ns)
    clock.advance(10)
    assert one.shares(["cpu", "gpu:0"], begin_ns, clock.monotonic_ns()) == {
        "cpu": 0.5, "gpu:0": 1.0,
    }  # fmt: skip
    for member in (one, other):
        member.remove_run(clock.monotonic_ns())
    assert one.shares(["cpu"], begin_ns, clock.monotonic_ns()) == {}


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\n",
        b"[]\n",
        b'{"t_ns": "x", "open": 1}\n',
        b'{"t_ns": 1e999, "open": 1}\n',
        b'{"t_ns": 1, "open": 1e999}\n',
        b'{"open": 1}\n',
        b"null\n",
        b"[" * 100_000 + b"\n",
        b'{"t_ns',
    ],
    ids=lambda text: text[:20].decode("latin-1"),
)
def test_an_invalid_file_of_another_process_is_ignored(place: Path, text: bytes) -> None:
    clock = FakeClock()
    one, other = Membership("study", place / "shared"), Membership("study", place / "shared")
    for member in (one, other):
        member.add_meter(["cpu"], clock.monotonic_ns())
        member.add_run(clock.monotonic_ns())
    for path in (place / "shared").glob("*.log"):
        path.write_bytes(path.read_bytes() + text)
    now_ns = clock.monotonic_ns()
    other.shares(["cpu"], now_ns, now_ns)
    clock.advance(1)
    assert one.shares(["cpu"], now_ns, clock.monotonic_ns())["cpu"] == 0.5
    for member in (one, other):
        member.remove_run(clock.monotonic_ns())


def test_an_id_of_a_study_may_be_any_text(place: Path) -> None:
    clock = FakeClock()
    one = Membership("\udcff", place / "shared")
    one.add_run(clock.monotonic_ns())
    assert one.shares(["cpu"], 0, clock.monotonic_ns()) == {"cpu": 1.0}
    one.remove_run(clock.monotonic_ns())


def test_a_fifo_in_place_of_a_file_is_not_waited_for(place: Path) -> None:
    clock = FakeClock()
    one, other = Membership("study", place / "shared"), Membership("study", place / "shared")
    for member in (one, other):
        member.add_run(clock.monotonic_ns())
    for path in (place / "shared").glob("*.log"):
        path.unlink()
        os.mkfifo(path)
    clock.advance(1)
    assert one.shares(["cpu"], 0, clock.monotonic_ns()) == {"cpu": 1.0}
    for path in (place / "shared").glob("*.log"):
        path.unlink()
    for member in (one, other):
        member.remove_run(clock.monotonic_ns())


def test_a_directory_that_others_may_write_to_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(study_shares, "_IN_MEMORY", place / "memory")
    monkeypatch.setattr("tempfile.tempdir", str(place / "temporary"))
    assert study_shares._directory() is None
    (place / "temporary").mkdir()
    ours = place / "temporary" / f"carbon-callbacks-{os.getuid()}"
    assert study_shares._directory() == ours
    (place / "memory").mkdir()
    assert study_shares._directory() == place / "memory" / ours.name
    (place / "memory" / ours.name).chmod(0o777)
    assert study_shares._directory() == ours


def test_without_a_directory_a_process_counts_everything() -> None:
    member = Membership("study", None)
    member.add_run(0)
    assert member.shares(["cpu"], 0, SECOND) == {"cpu": 1.0}
    member.remove_run(SECOND)


def test_the_share_of_a_job_is_multiplied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    one, other = Membership("study", place / "shared"), Membership("study", place / "shared")
    for member in (one, other):
        member.add_run(clock.monotonic_ns())
        member.shares(["cpu"], clock.monotonic_ns(), clock.monotonic_ns())
    clock.advance(1)
    inner = FakeMeter(clock, lambda t_s: 100.0 * t_s, fake_device())
    monkeypatch.setattr(study_shares, "membership_of", lambda study_id: one)
    meter = StudyMeter(inner, "study", COMPONENTS)
    read = inner.read
    inner.read = lambda: [reading._replace(share=0.5) for reading in read()]  # type: ignore[method-assign]
    assert meter.read()[0].share == 0.25
    inner.read = read  # type: ignore[method-assign]
    clock.advance(1)
    assert meter.read()[0].share == 0.25, "None is as before"
    assert StudyMeter(inner, "study", ["gpu"]).read()[0].share is None
    assert meter.period_s == 0.5
    for member in (one, other):
        member.remove_run(clock.monotonic_ns())


def test_a_device_is_counted_while_a_meter_of_it_is_open(place: Path) -> None:
    clock = FakeClock()
    one, other = Membership("study", place / "shared"), Membership("study", place / "shared")
    for meters_ in (2, 1):
        one.add_meter(["cpu"] * meters_, clock.monotonic_ns())
    one.remove_meter(["cpu"] * 3)  # such as of a preparation that found other devices
    one.add_meter(["gpu:0"], clock.monotonic_ns())
    other.add_meter(["cpu", "gpu:0"], clock.monotonic_ns())
    for member in (one, other):
        member.add_run(clock.monotonic_ns())
    begin_ns = clock.monotonic_ns()
    clock.advance(10)
    assert other.shares(["cpu", "gpu:0"], begin_ns, clock.monotonic_ns()) == {
        "cpu": 1.0, "gpu:0": 0.5,
    }  # fmt: skip
    for member in (one, other):
        member.remove_run(clock.monotonic_ns())

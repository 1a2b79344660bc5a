"""A study of several processes on one machine, judged by their files."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from carbon_core import EmissionsTracker
from carbon_core.outputs.studies import StudyTotals, study_totals

pytestmark = pytest.mark.slow

Start = Callable[[str], "subprocess.Popen[str]"]
KWH_PER_S = 100.0 / 3.6e6

WORKER = """
from carbon_callbacks.studies import Study

study = Study("lr", **settings)
note("ready-{name}")
wait_for("go")
for number in range(10):
    status = ("completed", "pruned", "failed", "completed")[number % 4]
    with study.trial("{name}-%d" % number, {{"lr": number}}) as trial:
        time.sleep({seconds})
        trial.end(status, value=number)
study.end()
note("span-{name}", span(study.tracker))
"""


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def ended(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def spans(place: Path, *names: str) -> list[tuple[float, float]]:
    texts = [(place / f"span-{name}").read_text().split() for name in names]
    return [(float(begin), float(end)) for begin, end in texts]


def trial_kwh(totals: StudyTotals) -> float:
    return sum(one.energy_kwh or 0.0 for one in totals.trials)


def test_two_workers_add_up_to_the_machine(place: Path, start: Start) -> None:
    names = "a", "b"
    workers = [
        start(WORKER.format(name=name, seconds=0.1 + 0.05 * i)) for i, name in enumerate(names)
    ]
    for name, worker in zip(names, workers):
        wait_for(place / f"ready-{name}", worker)
    (place / "go").write_text("")
    for worker in workers:
        ended(worker)
    totals = study_totals(place / "out", "lr")
    both = spans(place, *names)
    used_s = max(end for _, end in both) - min(begin for begin, _ in both)
    assert totals.energy_kwh == pytest.approx(used_s * KWH_PER_S, rel=0.005)
    assert trial_kwh(totals) + totals.overhead_kwh == pytest.approx(totals.energy_kwh)
    assert totals.statuses == {"completed": 10, "pruned": 6, "failed": 4}
    first = [one for one in totals.trials if one.trial_id.startswith("a")]
    alone_kwh = sum(one.duration_s for one in first) * KWH_PER_S
    assert sum(one.energy_kwh or 0.0 for one in first) < 0.75 * alone_kwh, "it is shared"
    assert list((place / "shared").iterdir()) == []


KILLED = """
from carbon_callbacks.studies import Study

study = Study("killed", **settings)
with study.trial("first"):
    time.sleep(0.3)
trial = study.trial("second", {"depth": 3})
note("began", time.monotonic())
time.sleep(60)
"""
SURVIVOR = """
from carbon_callbacks.studies import Study

study = Study("killed", **settings)
with study.trial("other"):
    note("open")
    wait_for("over")
study.end()
"""


def test_the_trial_of_a_killed_process_has_failed_and_another_process_counts_on(
    place: Path, start: Start
) -> None:
    began = time.monotonic()
    killed = start(KILLED)
    wait_for(place / "began", killed)
    survivor = start(SURVIVOR)
    wait_for(place / "open", survivor)
    time.sleep(1.0)
    running = study_totals(place / "out", "killed")
    assert running.statuses == {"completed": 1, "running": 2}
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    time.sleep(1.0)
    (place / "over").write_text("")
    over = time.monotonic()
    ended(survivor)
    # The next run of the directory recovers the journal.
    with EmissionsTracker(output_dir="out", log_level="error", save_to_file=True):
        pass
    totals = study_totals(place / "out", "killed")
    by_id = {one.trial_id: one for one in totals.trials}
    assert {name: one.status for name, one in by_id.items()} == {
        "first": "completed", "second": "failed", "other": "completed",
    }  # fmt: skip
    assert by_id["second"].parameters == {"depth": "3"}
    assert totals.waste_kwh == by_id["second"].energy_kwh
    assert by_id["second"].energy_kwh > 0.4 * KWH_PER_S
    # Alone for a second, and half of the second before.
    assert by_id["other"].energy_kwh > 1.2 * KWH_PER_S
    assert totals.energy_kwh < (over - began + 0.5) * KWH_PER_S


KILLED_EARLY = """
import signal
from carbon_callbacks.studies import Study

study = Study("early", **{**settings, "measure_power_secs": 1000})
with study.trial("first", {"depth": 3}) as trial:
    time.sleep(0.5)  # the journal has begun
    trial.note_value(0.5)
study.trial("second").end("pruned")
study.trial("third", {"depth": 4})
(journal,) = Path("out/carbon_runs").glob("*.journal.jsonl")
while '"third"' not in journal.read_text():
    time.sleep(0.005)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_before_a_heartbeat_loses_no_trial(
    place: Path, start: Start
) -> None:
    killed = start(KILLED_EARLY)
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, errors
    with EmissionsTracker(output_dir="out", log_level="error", save_to_file=True):
        pass
    totals = study_totals(place / "out", "early")
    assert totals.statuses == {"completed": 1, "pruned": 1, "failed": 1}
    assert totals.best is not None
    assert (totals.best.trial_id, totals.best.value) == ("first", 0.5)
    assert [dict(one.parameters) for one in totals.trials] == [{"depth": "3"}, {}, {"depth": "4"}]
    assert trial_kwh(totals) <= (totals.energy_kwh or 0.0)


FORKED_WITHIN = """
from carbon_callbacks.studies import Study

study = Study("forked", **{**settings, "measure_power_secs": 1000})
trial = study.trial("first")
while not (found := list(Path("out/carbon_runs").glob("*.journal.jsonl"))):
    time.sleep(0.005)
child = os.fork()
if child == 0:
    import threading

    trial.end("failed")
    note("threads", [one.name for one in threading.enumerate() if "carbon" in one.name])
    os._exit(0)
os.waitpid(child, 0)
trial.end()
while '"completed"' not in found[0].read_text():
    time.sleep(0.005)
note("journal", found[0].read_text())
study.end()
"""


def test_a_forked_child_does_nothing_for_its_parent_s_trial(place: Path, start: Start) -> None:
    ended(start(FORKED_WITHIN))
    assert (place / "threads").read_text() == "[]"
    assert '"failed"' not in (place / "journal").read_text()


ARRAY_TASK = """
from carbon_callbacks import EmissionsTracker

os.environ.update(SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="{task}")
with EmissionsTracker(**settings) as tracker:
    note("ready-{task}")
    wait_for("go")
note("span-{task}", span(tracker))
"""


def test_tasks_of_an_array_on_one_node_are_trials(place: Path, start: Start) -> None:
    tasks = [start(ARRAY_TASK.format(task=task)) for task in range(2)]
    for task, process in enumerate(tasks):
        wait_for(place / f"ready-{task}", process)
    time.sleep(2.0)
    (place / "go").write_text("")
    for process in tasks:
        ended(process)
    totals = study_totals(place / "out", "slurm-7")
    both = spans(place, "0", "1")
    used_s = max(end for _, end in both) - min(begin for begin, _ in both)
    assert totals.energy_kwh == pytest.approx(used_s * KWH_PER_S, rel=0.005)
    assert sorted(one.trial_id for one in totals.trials) == ["0", "1"]
    assert min(one.energy_kwh or 0.0 for one in totals.trials) > 0.8 * KWH_PER_S


FORKING = """
from carbon_callbacks.studies import Study

study = Study("forked", **settings)
with study.trial("parent"):
    time.sleep(0.5)
    child = os.fork()
    if not child:
        with study.trial("child"):
            time.sleep(0.5)
        study.end()
        os._exit(0)
    os.waitpid(child, 0)
study.end()
"""


def test_a_forked_worker_measures_its_own_trials(place: Path, start: Start) -> None:
    ended(start(FORKING))
    totals = study_totals(place / "out", "forked")
    assert totals.statuses == {"completed": 2}
    by_id = {one.trial_id: one.energy_kwh or 0.0 for one in totals.trials}
    seconds = sum(one.duration_s for one in totals.trials if one.trial_id == "parent")
    assert trial_kwh(totals) == pytest.approx(seconds * KWH_PER_S, rel=0.1)
    assert by_id["child"] < by_id["parent"]


THREADS = """
import random, threading
from carbon_callbacks.studies import Study

study = Study("threads", **settings)
outer = study.trial("all the time")

def work(name):
    chance = random.Random(name)
    for number in range(40):
        with study.trial(f"{name}-{number}") as trial:
            time.sleep(chance.uniform(0, 0.01))
            trial.energy_kwh

threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
for one in threads: one.start()
for one in threads: one.join()
outer.end()
study.end()
note("span-threads", span(study.tracker))
"""


def test_trials_of_threads_add_up_to_the_machine(place: Path, start: Start) -> None:
    ended(start(THREADS))
    totals = study_totals(place / "out", "threads")
    ((begin_s, end_s),) = spans(place, "threads")
    assert totals.energy_kwh == pytest.approx((end_s - begin_s) * KWH_PER_S, rel=0.005)
    outer = totals.trials[0]
    assert trial_kwh(totals) == pytest.approx(outer.duration_s * KWH_PER_S, rel=0.005)
    assert sum(totals.statuses.values()) == len(totals.trials) == 161
    assert outer.energy_kwh < 0.8 * outer.duration_s * KWH_PER_S

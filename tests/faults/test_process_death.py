"""However a process ends, its way of ending is its own and its energy is not lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.children import INTERVAL_S, KWH_PER_S, SLACK_S, Ended, Job, receipts, rows, total_kwh

pytestmark = pytest.mark.slow

Start = Callable[..., Job]
Run = Callable[..., Ended]

WORK_S = 0.5
# The job notes how long it measured before it dies: nobody else can know.
WORK = """
t = tracker()
t.start()
began = time.monotonic()
{before}
known(t)
time.sleep({seconds})
say("seconds", time.monotonic() - began)
say("now")
{after}
"""
NEXT_RUN = """
t = tracker(project_name="next")
t.start()
t.stop()
"""
WAIT = "time.sleep(30)"


def work(after: str, before: str = "") -> str:
    return WORK.format(before=before, seconds=WORK_S, after=after)


def seconds_said(text: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith("seconds")).split()[1])


def assert_recovered(run: Run, out: Path, least_s: float) -> None:
    """The next start folds the journal into a row and a receipt, complete but for an interval."""
    before = rows(out)
    assert before == [], "control: the dead process itself wrote no row"
    ended = run(NEXT_RUN)
    assert ended.status == 0, ended.err
    lost, after = rows(out)
    assert after["project_name"] == "next"
    assert float(lost["duration"]) >= least_s - 1.3 * INTERVAL_S - SLACK_S / 2
    assert float(lost["energy_consumed"]) == pytest.approx(
        KWH_PER_S * float(lost["duration"]), rel=0.02
    )
    assert float(lost["emissions"]) == pytest.approx(float(lost["energy_consumed"]))
    first = receipts(out)[0]
    assert first["status"] == "interrupted"
    assert first["run"]["run_id"] == lost["run_id"]
    assert first["energy_kwh"]["value"] == pytest.approx(float(lost["energy_consumed"]))


def test_control_a_job_that_stops_is_complete_by_itself(run: Run, out: Path) -> None:
    ended = run(work("t.stop()"))
    assert ended.status == 0, ended.err
    (row,) = rows(out)
    assert float(row["duration"]) == pytest.approx(seconds_said(ended.out), abs=SLACK_S)
    assert float(row["energy_consumed"]) == pytest.approx(
        KWH_PER_S * float(row["duration"]), rel=0.02
    )
    assert receipts(out)[0]["status"] == "completed"


def test_kill_9_loses_at_most_one_interval(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT))
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    assert job.end().status == -signal.SIGKILL
    assert_recovered(run, out, least_s=WORK_S)


def test_control_without_a_journal_kill_9_loses_the_run(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT).replace("tracker()", "tracker(journal=False)"))
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    job.end()
    run(NEXT_RUN)
    assert [row["project_name"] for row in rows(out)] == ["next"]


def test_os_exit_keeps_its_status(run: Run, out: Path) -> None:
    ended = run(work("os._exit(3)"))
    assert ended.status == 3
    assert_recovered(run, out, least_s=seconds_said(ended.out))


def test_uncaught_exception_keeps_traceback_and_status(run: Run, out: Path) -> None:
    ended = run(work("raise KeyError('the loss is gone')"))
    assert ended.status == 1
    traceback = [line for line in ended.err.splitlines() if line not in ended.own_lines]
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "KeyError: 'the loss is gone'"
    assert not any("carbon_c" in line for line in traceback), "no frame of ours"
    (row,) = rows(out)
    assert float(row["duration"]) >= WORK_S
    assert receipts(out)[0]["status"] == "interrupted"


@pytest.mark.parametrize("status", [0, 5])
def test_sys_exit_keeps_its_status(run: Run, out: Path, status: int) -> None:
    assert run(work(f"sys.exit({status})")).status == status
    assert len(rows(out)) == 1


def test_sigterm_by_default_still_kills_by_sigterm(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT))
    job.wait_for("now")
    job.signal(signal.SIGTERM)
    assert job.end().status == -signal.SIGTERM
    assert_recovered(run, out, least_s=WORK_S)


def test_ctrl_c_reaches_the_job(start: Start, out: Path) -> None:
    job = start(
        work(
            f"""
try:
    say("ready")
    {WAIT}
except KeyboardInterrupt:
    say("interrupted")
    raise
"""
        )
    )
    job.wait_for("ready")
    job.signal(signal.SIGINT)
    ended = job.end()
    assert ended.status == -signal.SIGINT
    assert "interrupted" in ended.out
    assert ended.err.rstrip().splitlines()[-1] == "KeyboardInterrupt" or ended.own_lines
    assert float(rows(out)[0]["duration"]) >= WORK_S


def test_ctrl_c_in_a_block_is_an_interrupted_run(start: Start, out: Path) -> None:
    job = start('with tracker():\n    time.sleep(0.2)\n    say("now")\n    time.sleep(30)\n')
    job.wait_for("now")
    job.signal(signal.SIGINT)
    assert job.end().status == -signal.SIGINT
    assert len(rows(out)) == 1
    assert receipts(out)[0]["status"] == "interrupted"


def test_exception_in_a_block_is_a_failed_run_and_goes_on(run: Run, out: Path) -> None:
    ended = run(
        """
        error = ValueError("bad batch")
        try:
            with tracker():
                time.sleep(0.2)
                raise error
        except ValueError as caught:
            say(caught is error, caught.args, caught.__cause__, caught.__context__)
        """
    )
    assert ended.status == 0, ended.err
    assert ended.out.strip() == "True ('bad batch',) None None"
    assert receipts(out)[0]["status"] == "failed"


def test_the_jobs_own_sigterm_handler_runs(start: Start, out: Path) -> None:
    handler = """
def checkpoint(number, frame):
    say("checkpoint")
    sys.exit(143)
signal.signal(signal.SIGTERM, checkpoint)
"""
    job = start(work(WAIT, before=handler))
    job.wait_for("now")
    job.signal(signal.SIGTERM)
    ended = job.end()
    assert ended.status == 143
    assert "checkpoint" in ended.out
    assert float(rows(out)[0]["duration"]) >= WORK_S


def test_a_handler_set_before_the_start_stays_set(start: Start, out: Path) -> None:
    job = start(
        """
        def checkpoint(number, frame):
            say("checkpoint")
            sys.exit(143)
        signal.signal(signal.SIGTERM, checkpoint)
        """
        + work(WAIT).replace("\n", "\n        ")
    )
    job.wait_for("now")
    job.signal(signal.SIGTERM)
    assert job.end().status == 143
    assert len(rows(out)) == 1


def test_sigterm_then_sigkill_half_a_second_later(start: Start, run: Run, out: Path) -> None:
    slow_handler = "signal.signal(signal.SIGTERM, lambda number, frame: time.sleep(20))"
    job = start(work(WAIT, before=slow_handler))
    job.wait_for("now")
    job.signal(signal.SIGTERM)
    with pytest.raises(AssertionError, match="never said"):
        # The grace period: the job is in its handler, and nothing of it ends.
        _wait_half_a_second_then_kill(job)
    assert job.process.returncode == -signal.SIGKILL
    assert_recovered(run, out, least_s=WORK_S + 0.5)


def _wait_half_a_second_then_kill(job: Job) -> None:
    import threading

    timer = threading.Timer(0.5, lambda: job.signal(signal.SIGKILL))
    timer.start()
    try:
        job.wait_for("this word never comes")
    finally:
        timer.join()


def test_a_lock_left_behind_does_not_stop_the_next_run(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT))
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    job.end()
    locks = list((out / "carbon_runs").glob("*.lock"))
    assert locks, "control: the killed job did leave a lock behind"
    (out / "carbon_runs" / "emissions.csv.lock").touch()
    ended = run(work("t.stop()"))
    assert ended.status == 0, ended.err
    assert ended.wall_s < 10
    assert float(rows(out)[-1]["duration"]) >= WORK_S
    assert not list((out / "carbon_runs").glob("*.journal.jsonl.lock"))


def test_killed_and_resumed_adds_up_once(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT))
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    job.end()
    second = run(work("t.stop()"))
    assert second.status == 0, second.err
    run(NEXT_RUN)
    run(NEXT_RUN)
    both = [row for row in rows(out) if row["project_name"] != "next"]
    assert len({row["run_id"] for row in both}) == len(both) == 2
    found_s = sum(float(row["duration"]) for row in both)
    assert found_s >= WORK_S + seconds_said(second.out) - 1.3 * INTERVAL_S - SLACK_S
    found_kwh = sum(float(row["energy_consumed"]) for row in both)
    assert found_kwh == pytest.approx(KWH_PER_S * found_s, rel=0.02)


def test_a_run_that_still_goes_on_is_left_alone(start: Start, run: Run, out: Path) -> None:
    job = start(work("sys.stdin.read(); time.sleep(1.5); t.stop()"))
    job.wait_for("now")
    run(NEXT_RUN)
    assert [row["project_name"] for row in rows(out)] == ["next"], "control: it was not folded"
    assert job.end().status == 0
    assert len(rows(out)) == 2


def test_a_torn_last_record_costs_that_record_only(start: Start, run: Run, out: Path) -> None:
    job = start(work(WAIT))
    job.wait_for("now")
    job.signal(signal.SIGKILL)
    job.end()
    (journal,) = (out / "carbon_runs").glob("*.journal.jsonl")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])
    run(NEXT_RUN)
    lost = rows(out)[0]
    assert float(lost["duration"]) >= WORK_S - 2.3 * INTERVAL_S - SLACK_S / 2


def test_eight_jobs_killed_together_leave_eight_rows(start: Start, run: Run, out: Path) -> None:
    jobs = [start(work(WAIT)) for _ in range(8)]
    for job in jobs:
        job.wait_for("now")
    for job in jobs:
        job.signal(signal.SIGKILL)
    for job in jobs:
        job.end()
    run(NEXT_RUN)
    found = rows(out)
    assert len({row["run_id"] for row in found}) == len(found) == 9
    assert total_kwh(out) >= 8 * KWH_PER_S * (WORK_S - 1.3 * INTERVAL_S - SLACK_S)


def test_two_runs_that_recover_at_once_leave_one_row_each(
    start: Start, run: Run, out: Path
) -> None:
    for _ in range(3):
        job = start(work("os._exit(0)"))
        job.end()
    jobs = [start(NEXT_RUN) for _ in range(4)]
    assert [job.end().status for job in jobs] == [0] * 4
    ids = [row["run_id"] for row in rows(out)]
    assert len(set(ids)) == len(ids) == 7


# --- handlers and Ctrl-C within our own calls ----------------------------------------------------

# Another process holds the lock of the results for a second, so that stop() takes a while.
SLOW_STOP = """
import fcntl
t = tracker()
{before}
t.start()
known(t)
holder = os.fork()
if holder == 0:
    lock = open("out/carbon_runs/emissions.csv.lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.kill(os.getppid(), signal.SIGCONT)
    time.sleep(1)
    os._exit(0)
time.sleep(0.2)
threading.Timer(0.3, os.kill, (os.getpid(), signal.{signal})).start()
began = time.monotonic()
try:
    t.stop()
except KeyboardInterrupt:
    say("interrupted")
say(time.monotonic() - began)
os.waitpid(holder, 0)
"""


def test_a_handler_that_stops_the_tracker_while_it_stops(run: Run, out: Path) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *a: say('handled', t.stop() is None))"
    ended = run(SLOW_STOP.format(before=handler, signal="SIGTERM"))
    assert ended.status == 0, ended.err
    handled, seconds = ended.out.splitlines()
    assert handled.startswith("handled")
    assert 0.3 < float(seconds) < 5
    run(NEXT_RUN)
    assert [row["project_name"] for row in rows(out)].count("codecarbon") == 1


@pytest.mark.parametrize("does", ["t.mark('handler')", "t.flush()", "t.start(); t.stop()"])
def test_handlers_may_use_the_tracker_at_any_moment(run: Run, does: str) -> None:
    # A handler runs on the very thread that may be inside a call of ours: a lock held there waits
    # for itself.
    ended = run(
        f"""
        t = tracker(log_level="CRITICAL", shutdown_timeout_s=0.5)
        inside = handled = 0
        def handler(number, frame):
            global inside, handled
            if not inside:
                inside = 1
                {does}
                inside = 0
                handled += 1
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            t.start()
            t.flush()
            t.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        say(handled > 10)
        """
    )
    assert (ended.status, ended.out) == (0, "True\n"), ended.err


def test_ctrl_c_while_the_tracker_stops(run: Run, out: Path) -> None:
    ended = run(SLOW_STOP.format(before="", signal="SIGINT"))
    assert ended.status == 0, ended.err
    interrupted, seconds = ended.out.splitlines()
    assert interrupted == "interrupted"
    assert 0.3 < float(seconds) < 5
    run(NEXT_RUN)
    assert [row["project_name"] for row in rows(out)].count("codecarbon") == 1


def test_exit_without_stop_never_disturbs_the_exit(start: Start, out: Path) -> None:
    script = """
    import logging
    logging.basicConfig(level=logging.DEBUG)
    t = tracker(measure_power_secs=0.01, log_level="DEBUG")
    t.start()
    time.sleep({:.3f})
    """
    for batch in range(5):
        jobs = [start(script.format(0.1 + 0.013 * (2 * batch + i))) for i in range(2)]
        for job in jobs:
            ended = job.end()
            assert ended.status == 0, ended.err
            assert "Fatal" not in ended.err
            assert "Traceback" not in ended.err
    assert len(rows(out)) == 10

"""Forks, threads, copies and misuse: one row a run, every joule once, nothing left running."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.children import INTERVAL_S, KWH_PER_S, SLACK_S, Ended, Job, receipts, rows, total_kwh
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, lab, steady

from carbon_callbacks import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.testing import FakeClock

pytestmark = pytest.mark.slow

Start = Callable[..., Job]
Run = Callable[..., Ended]

OWN_THREADS = ("carbon-",)


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(OWN_THREADS)]


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    yield
    gc.collect()
    assert eventually(lambda: not own_threads()), own_threads()


def made(**settings: object) -> EmissionsTracker:
    known = {
        "force_cpu_power": 1e-6,  # the load model, at next to nothing
        "force_ram_power": 3600,
        "force_carbon_intensity_g_co2e_kwh": 1000,
        "measure_power_secs": 0.05,
        "output_dir": "out",
        "log_level": "CRITICAL",
    }
    return EmissionsTracker(**{**known, **settings})


# --- fork ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "raise SystemExit"])
def test_a_forked_child_is_inert_and_ends(run: Run, out: Path, leave: str) -> None:
    ended = run(
        f"""
        t = tracker(measure_power_secs=0.02)
        t.start()
        time.sleep(0.3)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            t.mark("child"); t.flush(); t.report()
            with t.window("w"):
                pass
            t.stop_task("task")
            say("child", t.running, t.stop(), threading.active_count())
            {leave}
        _, status = os.waitpid(pid, 0)
        say("waited", time.monotonic() - began < 2, status)
        time.sleep(0.3)
        say("parent", t.running, t.stop() > 0)
        """
    )
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == ["child False None 1", "waited True 0", "parent True True"]
    (row,) = rows(out)
    assert float(row["duration"]) >= 0.6
    assert [phase["name"] for phase in receipts(out)[0]["phases"]] == ["run"]


def test_a_child_that_drops_its_copy_frees_no_lock_of_the_parent(start: Start, out: Path) -> None:
    job = start(
        """
        import gc
        t = tracker()
        t.start()
        time.sleep(0.3)
        pid = os.fork()
        if pid == 0:
            del t
            gc.collect()
            sys.exit(0)
        os.waitpid(pid, 0)
        say("forked")
        time.sleep(1.5)
        t.stop()
        """
    )
    job.wait_for("forked")
    other = start("t = tracker(project_name='other')\nt.start()\nt.stop()\n")
    assert other.end().status == 0
    assert [row["project_name"] for row in rows(out)] == ["other"], "the parent's run goes on"
    assert job.end().status == 0
    assert len(rows(out)) == 2


def test_a_child_that_lives_on_does_not_hide_the_run_of_a_killed_parent(
    start: Start, run: Run, out: Path
) -> None:
    job = start(
        """
        t = tracker()
        t.start()
        time.sleep(0.5)
        if os.fork() == 0:
            os.close(1); os.close(2)
            time.sleep(4)
            os._exit(0)
        say("forked")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    job.wait_for("forked")
    job.end()
    time.sleep(0.1)
    run("t = tracker(project_name='next')\nt.start()\nt.stop()\n")
    assert len(rows(out)) == 2


def test_a_child_may_measure_with_a_tracker_of_its_own(run: Run, out: Path) -> None:
    ended = run(
        """
        t = tracker(project_name="parent")
        t.start()
        time.sleep(0.2)
        pid = os.fork()
        if pid == 0:
            own = tracker(project_name="child")
            own.start()
            time.sleep(0.2)
            say(own.stop() > 0)
            sys.exit(0)
        os.waitpid(pid, 0)
        t.stop()
        """
    )
    assert (ended.status, ended.out) == (0, "True\n"), ended.err
    assert [row["project_name"] for row in rows(out)] == ["child", "parent"]


def test_a_tracker_that_a_child_starts_measures_a_run_of_the_childs_own(
    run: Run, out: Path
) -> None:
    # The parent's tracker, running or only made: a copy of it is inert until the child starts it.
    ended = run(
        """
        running, made = tracker(project_name="running"), tracker(project_name="made")
        running.start()
        known(running)
        for t in (running, made):
            pid = os.fork()
            if pid == 0:
                t.start()
                known(t)
                say(t.running, t.stop() > 0)
                sys.exit(0)
            os.waitpid(pid, 0)
        made.start(); made.stop()
        running.stop()
        """
    )
    assert (ended.status, ended.out) == (0, "True True\n" * 2), ended.err
    assert len({row["run_id"] for row in rows(out)}) == 4
    assert [row["project_name"] for row in rows(out)] == ["running", "made", "made", "running"]


def test_a_child_that_is_forked_in_the_midst_of_an_import_can_measure(
    run: Run, out: Path, tmp_path: Path
) -> None:
    # The sampler's thread is importing the searches for meters: what it has not finished stays half
    # done in the child, whose import would wait for ever, or find names missing.
    ended = run(
        """
        import sys
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "carbon_core.hardware.gpu_search":
                    sys.meta_path.remove(self)
                    importing.set()
                    go_on.wait(10)
        importing, go_on = threading.Event(), threading.Event()
        sys.meta_path.insert(0, Slow())
        t = tracker(project_name="parent")
        t.start()
        say(importing.wait(10))
        pid = os.fork()
        if pid == 0:
            own = tracker(project_name="child")
            own.start()
            known(own)
            say(own.stop() > 0)
            os._exit(0)
        os.waitpid(pid, 0)
        go_on.set()
        known(t)
        t.stop()
        """
    )
    assert (ended.status, ended.out) == (0, "True\nTrue\n"), ended.err
    assert [row["project_name"] for row in rows(out)] == ["child", "parent"]


def test_fork_pools_never_hang_while_sampling_fast(run: Run, out: Path) -> None:
    ended = run(
        """
        import logging, multiprocessing
        logging.basicConfig(level=logging.DEBUG, stream=open(os.devnull, "w"))
        def work(i):
            logging.getLogger("carbon_callbacks").info("in a worker")
            return i * i
        if __name__ == "__main__":
            t = tracker(measure_power_secs=0.01, log_level="DEBUG")
            t.start()
            for _ in range(10):
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    assert pool.map(work, range(4)) == [0, 1, 4, 9]
            t.stop()
            say("done")
        """
    )
    assert (ended.status, ended.out) == (0, "done\n"), ended.err
    assert len(rows(out)) == 1


def test_nothing_is_logged_on_our_threads(run: Run, out: Path) -> None:
    # A worker that is forked while a handler writes would wait for its stream for ever.
    ended = run(
        """
        import http.server, logging, threading
        class Kept(logging.Handler):
            def emit(self, record):
                seen.append((threading.current_thread().name, record.name))
        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_response(500)
                self.end_headers()
            def log_message(self, *args):
                pass
        seen = []
        logging.basicConfig(level=logging.DEBUG, handlers=[Kept()])
        server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        t = tracker(measure_power_secs=0.05, emissions_endpoint=f"http://127.0.0.1:{port}",
                    api_call_interval=1)
        t.start()
        for _ in range(5):
            t.flush()
            time.sleep(0.1)
        t.stop()
        server.shutdown()
        say([one for one in seen if one[0].startswith("carbon-")])
        """
    )
    assert (ended.status, ended.out) == (0, "[]\n"), ended.err
    assert len(rows(out)) == 1


# --- signals -------------------------------------------------------------------------------------


def test_no_signal_is_delivered_to_our_threads(run: Run) -> None:
    # Pending for the process, a signal is delivered to any thread that does not block it.
    ended = run(
        """
        mine = {signal.SIGUSR1, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        t = tracker(emissions_endpoint="http://127.0.0.1:1/", api_call_interval=1)
        t.start()
        say(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before)
        signal.pthread_sigmask(signal.SIG_BLOCK, mine)
        for number in mine:
            os.kill(os.getpid(), number)
        t.flush()
        time.sleep(0.3)
        say(signal.sigpending() == mine, len([x for x in threading.enumerate() if "carbon-" in x.name]))
        t.stop()
        say(signal.sigpending() == mine)
        """
    )
    assert ended.status == 0, ended.err
    unchanged, pending, after = ended.out.splitlines()
    assert (unchanged, after) == ("True", "True")
    assert pending.startswith("True")
    assert not pending.endswith(" 0"), "control: there are threads"


INTERRUPTED = """
import gc
class TimeUp({kind}):
    pass
def handler(number, frame):
    fired.append(number)
    raise TimeUp("the program's own")
fired, lost, unsaved = [], 0, 0
signal.signal(signal.SIGALRM, handler)
warm = tracker()
warm.start(); warm.stop()
gc.disable()  # what a handler raises while Python collects is printed and dropped, by any program
for i in range(40):
    t = tracker()
    gc.collect()
    t.start()
    t.start_task("task")
    caught, before = False, len(fired)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + i * {step_s})
        {call}
        while len(fired) == before:
            time.sleep(0.001)
    except TimeUp:
        caught = True
    lost += not caught
    unsaved += t.stop() is None or t.running or len(t.final_report.tasks) != 1
    assert t.report() is t.final_report
del t
gc.collect()
time.sleep(0.2)
say(lost, unsaved, [x.name for x in threading.enumerate() if "carbon-" in x.name])
"""


@pytest.mark.parametrize("kind", ["Exception", "TimeoutError", "RuntimeError", "KeyboardInterrupt"])
@pytest.mark.parametrize(
    ("call", "step_s", "runs"),
    [("t.stop()", 1e-4, 41), ("t.flush()", 2e-5, 41), ("t.stop_task()", 2e-5, 41)],
)
def test_an_exception_of_the_programs_own_handler_reaches_it(
    run: Run, out: Path, kind: str, call: str, step_s: float, runs: int
) -> None:
    ended = run(INTERRUPTED.format(kind=kind, call=call, step_s=step_s))
    assert (ended.status, ended.out) == (0, "0 0 []\n"), ended.err
    assert len(rows(out)) == runs


def test_a_run_whose_stop_was_interrupted_ends_without_another_call(run: Run, out: Path) -> None:
    ended = run(
        """
        class TimeUp(Exception):
            pass
        def handler(number, frame):
            raise TimeUp
        class Hangs:
            def out(self, total, delta):
                reached.set()
                go_on.wait(10)
            live_out = out
        reached, go_on = threading.Event(), threading.Event()
        signal.signal(signal.SIGUSR1, handler)
        t = tracker(output_handlers=[Hangs()], shutdown_timeout_s=20)
        t.start()
        known(t)
        threading.Thread(
            target=lambda: (reached.wait(10), os.kill(os.getpid(), signal.SIGUSR1))
        ).start()
        try:
            with t:
                pass
        except TimeUp:
            say("raised", t.running)
        go_on.set()
        while any(x.name.startswith("carbon-") for x in threading.enumerate()):
            time.sleep(0.01)
        say(t.final_emissions > 0, t.stop() > 0)
        first = t.run_id
        t.start()
        say(t.running, t.run_id != first, t.stop() is not None)
        """
    )
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == ["raised False", "True True", "True True True"]
    assert len(rows(out)) == 2


def test_a_stop_within_a_decorated_function_ends_its_run_although_it_is_interrupted(
    run: Run,
) -> None:
    ended = run(
        """
        from carbon_callbacks import track_emissions
        class TimeUp(Exception):
            pass
        def handler(number, frame):
            try:
                raise KeyError("why")
            except KeyError as why:
                raise TimeUp from why
        class Hangs:
            def out(self, total, delta):
                reached.set()
                go_on.wait(10)
            live_out = out
        reached, go_on = threading.Event(), threading.Event()
        signal.signal(signal.SIGUSR1, handler)
        @track_emissions(save_to_file=False, log_level="CRITICAL")
        def work():
            t = tracker(output_handlers=[Hangs()], shutdown_timeout_s=20)
            t.start()
            known(t)
            threading.Thread(
                target=lambda: (reached.wait(10), os.kill(os.getpid(), signal.SIGUSR1))
            ).start()
            try:
                t.stop()
            except TimeUp as error:
                say(repr(error.__cause__))
            go_on.set()
            end = time.monotonic() + 10
            while t.final_report is None and time.monotonic() < end:
                time.sleep(0.01)
            say(t.final_report is not None)
        work()
        """
    )
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == ["KeyError('why')", "True"]


def test_a_process_that_an_output_starts_can_be_ended_by_a_signal(run: Run) -> None:
    ended = run(
        """
        import subprocess
        class Starts:
            def out(self, total, delta):
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
                child.terminate()
                say(child.wait(10))
            live_out = out
        t = tracker(output_handlers=[Starts()], shutdown_timeout_s=20)
        t.start()
        known(t)
        t.stop()
        """
    )
    assert ended.status == 0, ended.err
    assert ended.out.splitlines() == [str(-signal.SIGTERM)]


# --- what stop() leaves --------------------------------------------------------------------------


def test_no_thread_file_or_lock_outlives_stop() -> None:
    # A first run leaves what is never undone: modules, and the null device of a library.
    warm = made(output_dir="warm")
    warm.start()
    warm.stop()
    gc.collect()
    threads, files = set(threading.enumerate()), open_files()
    tracker = made()
    tracker.start()
    assert eventually(lambda: set(threading.enumerate()) != threads), "control: it has threads"
    assert eventually(lambda: open_files() != files), "control: it has files"
    assert len(own_threads()) <= 4
    tracker.stop()
    assert set(threading.enumerate()) == threads
    assert open_files() == files
    assert not list(Path("out/carbon_runs").glob("*.jsonl.lock"))


def test_nothing_is_counted_after_stop() -> None:
    clock = FakeClock()
    meter = steady(clock)
    tracker = LabTracker(clock, lambda: [meter])
    tracker.start()
    clock.advance(10)
    kilograms = tracker.stop()
    reads = meter.reads
    clock.advance(1000)
    tracker.mark("late")
    assert tracker.stop() == kilograms
    assert tracker.report() is tracker.final_report
    assert meter.reads == reads
    assert meter.closed


def test_rerunning_the_start_cell_ends_the_old_trackers() -> None:
    trackers = set()
    for _ in range(5):
        tracker = made()
        tracker.start()
        trackers.add(tracker.run_id)
        time.sleep(0.05)
        assert len(own_threads()) <= 4
    tracker.stop()
    assert {row["run_id"] for row in rows(Path("out"))} == trackers
    statuses = sorted(receipt["status"] for receipt in receipts(Path("out")))
    assert statuses == ["completed"] + ["interrupted"] * 4


def test_a_forgotten_tracker_with_an_open_task_ends_too() -> None:
    tracker = made()
    tracker.start_task("left open")
    del tracker
    gc.collect()
    assert eventually(lambda: not own_threads())
    assert len(rows(Path("out"))) == 1


# --- misuse --------------------------------------------------------------------------------------


def test_starting_twice_is_one_run() -> None:
    tracker, clock = lab()
    tracker.start()
    clock.advance(10)
    tracker.start()
    clock.advance(10)
    assert tracker.stop() == pytest.approx(2000 / JOULES_PER_KWH)
    assert tracker.stop() == pytest.approx(2000 / JOULES_PER_KWH)


def test_starting_again_after_stop_is_a_second_run() -> None:
    tracker = made()
    ids = set()
    for seconds in (0.1, 0.3):
        tracker.start()
        assert eventually(lambda: tracker.report().energy_kwh.value > 0)
        time.sleep(seconds)
        tracker.stop()
        ids.add(tracker.run_id)
    found = rows(Path("out"))
    assert {row["run_id"] for row in found} == ids
    assert float(found[1]["duration"]) >= 0.3
    assert float(found[1]["energy_consumed"]) == pytest.approx(
        KWH_PER_S * float(found[1]["duration"]), rel=0.02
    )


def test_stopping_right_after_the_start_records_a_run() -> None:
    tracker = made()
    tracker.start()
    assert tracker.stop() is not None
    (row,) = rows(Path("out"))
    assert 0 <= float(row["duration"]) < 1


def test_stopping_before_any_start_is_nothing() -> None:
    tracker = made()
    assert tracker.stop() is None
    assert tracker.flush() is None
    assert tracker.stop_task() is None
    assert not Path("out").exists()


def test_eight_threads_that_stop_at_once_make_one_row() -> None:
    for _ in range(5):
        tracker = made()
        tracker.start()
        together = threading.Barrier(8)
        answers: list[float | None] = []

        def stop(tracker=tracker, together=together, answers=answers) -> None:
            together.wait()
            answers.append(tracker.stop())

        threads = [threading.Thread(target=stop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(answers) == 8
        assert set(answers) == {tracker.final_emissions}
    assert len(rows(Path("out"))) == 5


def test_marks_of_other_threads_neither_fail_nor_hold_up_stop(run: Run) -> None:
    ended = run(
        """
        failures, over = [], threading.Event()
        t = tracker(save_to_file=False, log_level="CRITICAL")
        def busy():
            while not over.is_set():
                try:
                    t.mark("phase")
                    t.window("w").close()
                    time.sleep(0.0001)
                except Exception as error:
                    failures.append(repr(error))
                    return
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        stops = []
        for _ in range(5):
            t.start()
            time.sleep(0.02)
            began = time.monotonic()
            t.stop()
            stops.append(time.monotonic() - began)
        over.set()
        for thread in threads:
            thread.join()
        say(failures[:1])
        say(sorted(stops)[2])
        """
    )
    assert ended.status == 0, ended.err
    failures, median_s = ended.out.splitlines()
    assert failures == "[]"
    assert float(median_s) < 1


# --- copies --------------------------------------------------------------------------------------


def test_a_running_tracker_can_be_copied_and_pickled() -> None:
    tracker = made(electricitymaps_api_token="sesame", force_carbon_intensity_g_co2e_kwh=5)
    tracker.start()
    tracker.start_task("epoch")
    tracker.mark("train")
    checkpoint = {"callback": tracker}
    text = pickle.dumps(checkpoint)
    copies = [pickle.loads(text)["callback"], copy.deepcopy(checkpoint)["callback"]]
    copies.append(copy.copy(tracker))
    assert b"sesame" not in text
    for other in copies:
        assert not other.running
        assert other.run_id != tracker.run_id
        assert other.settings.measure_power_secs == tracker.settings.measure_power_secs
    assert tracker.running
    tracker.stop()
    copies[0].start()
    copies[0].stop()
    assert len(rows(Path("out"))) == 2


def test_a_window_that_was_kept_can_be_copied() -> None:
    tracker, clock = lab()
    tracker.start()
    with tracker.window("epoch") as window:
        clock.advance(10)
    tracker.stop()
    for other in (copy.deepcopy(window), pickle.loads(pickle.dumps(window))):
        assert other.name == "epoch"


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-3600, 3600, -86400 * 365])
def test_a_step_of_the_wall_clock_changes_time_stamps_only(tmp_path: Path, step_s: float) -> None:
    clock = FakeClock()
    output = RunDirectory(tmp_path, "emissions.csv", always_update=False, keep_journal=True)
    tracker = LabTracker(clock, lambda: [steady(clock)], make_outputs=lambda: [output])
    tracker.start()
    clock.advance(30)
    clock.step_wall_clock(step_s)
    tracker.mark("second half")
    clock.advance(30)
    assert tracker.stop() == pytest.approx(6000 / JOULES_PER_KWH)
    (row,) = rows(tmp_path)
    assert float(row["duration"]) == pytest.approx(60)
    assert float(row["energy_consumed"]) == pytest.approx(6000 / JOULES_PER_KWH)
    phases = receipts(tmp_path)[0]["phases"]
    assert [phase["duration_s"] for phase in phases] == pytest.approx([30, 30])


# --- ranks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        ("LOCAL_RANK", "RANK", "WORLD_SIZE"),
        ("SLURM_LOCALID", "SLURM_PROCID", "SLURM_NTASKS"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ],
)
def test_four_ranks_of_one_node_count_it_once(
    start: Start, out: Path, variables: tuple[str, str, str]
) -> None:
    local, world, size = variables
    # The other ranks stand by: they have no energy to wait for.
    work = "with tracker() as t:\n    {}\n    time.sleep(0.4)\n"
    jobs = [
        start(work.format("pass" if i else "known(t)"), **{local: str(i), world: str(i), size: "4"})
        for i in range(4)
    ]
    assert [job.end().status for job in jobs] == [0] * 4
    (row,) = rows(out)
    assert total_kwh(out) == pytest.approx(KWH_PER_S * float(row["duration"]), rel=0.02)
    assert float(row["duration"]) >= 0.4


def test_control_four_jobs_without_ranks_are_four_runs(start: Start, out: Path) -> None:
    jobs = [start("with tracker():\n    time.sleep(0.2)\n") for _ in range(4)]
    assert [job.end().status for job in jobs] == [0] * 4
    assert len(rows(out)) == 4


# --- the sampler's own moments -------------------------------------------------------------------


def test_stopping_at_the_moment_of_a_sample_books_it_once() -> None:
    # The meter's period divides the run's length, so that the last sample is due when stop() comes.
    clock = SystemClock()
    for _ in range(10):
        tracker = LabTracker(
            clock, lambda: [steady(clock, 3600.0, period_s=0.02)], heartbeat_s=0.02
        )
        tracker.start()
        time.sleep(0.2)
        tracker.stop()
        report = tracker.final_report
        assert report is not None
        assert report.window.joules == pytest.approx(3600 * report.duration_s, rel=1e-6)
        assert report.duration_s == pytest.approx(0.2, abs=SLACK_S)


def test_a_sample_and_a_stop_at_the_same_instant_of_a_fake_clock() -> None:
    tracker, clock = lab(heartbeat_s=15.0)
    tracker.start()
    clock.advance(15)
    assert tracker.stop() == pytest.approx(1500 / JOULES_PER_KWH)
    assert tracker.final_report is not None
    assert sum(phase.joules for phase in tracker.final_report.phases) == pytest.approx(1500)


# A thread's stack that does not fit in what is left of the address space makes the system refuse
# threads, as a container's limit does, until the limit is lifted.
REFUSE_THREADS = """
import resource
threading.stack_size(512 * 2**20)
def limit(room):
    used = 1024 * int(next(line for line in open("/proc/self/status") if "VmSize" in line).split()[1])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + room if room else hard, hard))
"""


def test_control_the_system_does_refuse_threads(run: Run) -> None:
    ended = run(
        REFUSE_THREADS
        + """
limit(200 * 2**20)
try:
    threading.Thread(target=int).start()
except RuntimeError as error:
    say(error)
limit(0)
threading.Thread(target=int).start()
say("again")
"""
    )
    assert ended.out.splitlines() == ["can't start new thread", "again"]


def test_no_new_thread_for_a_while(run: Run, out: Path) -> None:
    ended = run(
        REFUSE_THREADS
        + """
import logging, carbon_core.hardware.discover, carbon_core.outputs.run_directory, tempfile
t = tracker()
limit(200 * 2**20)
t.start()
began = time.monotonic()
time.sleep(0.3)
say([x.name for x in threading.enumerate()])
limit(0)
t.mark("later")
time.sleep(0.3)
say(sorted(x.name for x in threading.enumerate()))
total_s = time.monotonic() - began
began = time.monotonic()
say(t.stop() is not None, time.monotonic() - began < 5)
say(total_s)
"""
    )
    assert ended.status == 0, ended.err
    refused, recovered, stopped, total_s = ended.out.splitlines()
    assert refused == "['MainThread']"
    assert recovered == "['MainThread', 'carbon-files', 'carbon-sampler']"
    assert stopped == "True True"
    (row,) = rows(out)
    assert float(row["duration"]) == pytest.approx(float(total_s), abs=SLACK_S)
    assert total_kwh(out) == pytest.approx(KWH_PER_S * float(row["duration"]), rel=0.02)


def test_never_a_thread_still_gives_a_row(run: Run, out: Path) -> None:
    ended = run(
        REFUSE_THREADS
        + """
import logging, carbon_core.hardware.discover, carbon_core.outputs.run_directory, tempfile
t = tracker()
limit(200 * 2**20)
t.start()
time.sleep(0.5)
t.mark("second")
time.sleep(0.2)
began = time.monotonic()
say(t.stop() is not None, time.monotonic() - began < 5)
"""
    )
    assert (ended.status, ended.out) == (0, "True True\n"), ended.err
    (row,) = rows(out)
    assert float(row["duration"]) == pytest.approx(0.7, abs=SLACK_S)
    assert total_kwh(out) == pytest.approx(KWH_PER_S * float(row["duration"]), rel=0.02)
    assert [p["name"] for p in receipts(out)[0]["phases"]] == ["run", "second"]


def test_eight_jobs_that_end_together_leave_eight_rows(start: Start, out: Path) -> None:
    jobs = [start(f"with tracker():\n    time.sleep({INTERVAL_S})\n") for _ in range(8)]
    assert [job.end().status for job in jobs] == [0] * 8
    assert len(rows(out)) == 8

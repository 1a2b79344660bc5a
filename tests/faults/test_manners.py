"""A guest's manners: nothing of the process is changed, nothing is printed that others parse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from faults.children import Ended, Job, receipts, rows

pytestmark = pytest.mark.slow

Run = Callable[..., Ended]

# Everything of a process that a library might change and a job might depend on.
STATE = """
import json, locale, logging, random, signal, sys, threading, warnings, gc, atexit, faulthandler
def state():
    import hashlib
    def digest(thing):
        return hashlib.sha256(repr(thing).encode()).hexdigest()
    umask = os.umask(0)
    os.umask(umask)
    root = logging.getLogger()
    found = dict(
        random=digest(random.getstate()),
        signals=[repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        mask=sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        hooks=[repr(hook) for hook in (
            sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook,
            sys.breakpointhook, sys.gettrace(), sys.getprofile(), threading.gettrace(),
            sys.path_hooks, sys.meta_path)],
        limits=[sys.getrecursionlimit(), sys.getswitchinterval(), threading.stack_size(),
                gc.get_threshold(), gc.isenabled(), sys.getdlopenflags()],
        faulthandler=faulthandler.is_enabled(),
        warnings=repr(warnings.filters), showwarning=repr(warnings.showwarning),
        root=[root.level, repr(root.handlers), repr(root.filters), root.disabled],
        loggers=[logging.getLogger(n).level for n in ("carbon_callbacks", "urllib3", "filelock")],
        own=repr(logging.getLogger("carbon_callbacks").handlers),
        disable=logging.root.manager.disable, raises=logging.raiseExceptions,
        last_resort=repr(logging.lastResort), logger_class=repr(logging.getLoggerClass()),
        environ=dict(os.environ), cwd=os.getcwd(), umask=umask,
        locale=[locale.setlocale(c) for c in (locale.LC_ALL, locale.LC_NUMERIC, locale.LC_TIME)],
        affinity=sorted(os.sched_getaffinity(0)), nice=os.nice(0), path=list(sys.path),
        streams=[repr(s) for s in (sys.stdin, sys.stdout, sys.stderr)],
        timezone=[time.tzname, time.timezone], children=os.path.exists("/proc/self/task") and
            open(f"/proc/self/task/{os.getpid()}/children").read(),
    )
    if "numpy" in sys.modules:
        found["numpy"] = digest(sys.modules["numpy"].random.get_state())
        found["errors"] = repr(sys.modules["numpy"].geterr())
    return found
def difference(before, after):
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}
"""
ALL_OF_IT = """
t = tracker(measure_power_secs=0.02)
with t:
    with t.window("w"):
        t.mark("train")
        time.sleep(0.1)
    t.stop_task(t.start_task("task"))
    t.flush()
    time.sleep(0.1)
@track_emissions(save_to_file=False, force_cpu_power=5)
def work():
    return 1
work()
"""


def test_the_state_of_the_process_is_unchanged(run: Run, out: Path) -> None:
    pytest.importorskip("numpy")
    ended = run(
        STATE
        + "import numpy\nnumpy.random.seed(7); random.seed(7)\nbefore = state()\n"
        + ALL_OF_IT
        + "say(json.dumps(difference(before, state())))"
    )
    assert (ended.status, ended.out) == (0, "{}\n"), ended.err
    assert len(rows(out)) == 1


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("random.random()", "random"),
        ("signal.signal(signal.SIGTERM, lambda *a: None)", "signals"),
        ("sys.excepthook = print", "hooks"),
        ("warnings.simplefilter('error')", "warnings"),
        ("logging.basicConfig()", "root"),
        ("os.environ['CARBON'] = '1'", "environ"),
        ("os.umask(0o77)", "umask"),
        ("os.chdir('/')", "cwd"),
    ],
)
def test_control_the_comparison_sees_a_change(run: Run, change: str, seen: str) -> None:
    ended = run(
        STATE + f"before = state()\n{change}\nsay(sorted(difference(before, state())))",
    )
    assert seen in ended.out, ended.err


def test_the_random_numbers_of_a_job_stay_the_same(run: Run) -> None:
    draw = """
import random
random.seed(3)
{}
say([random.random() for _ in range(3)])
"""
    assert run(draw.format(ALL_OF_IT)).out == run(draw.format("")).out


@pytest.mark.parametrize("flags", [("-W", "error"), ("-W", "error", "-bb"), ("-O",), ("-OO",)])
def test_interpreter_flags_do_no_harm(run: Run, out: Path, flags: tuple[str, ...]) -> None:
    ended = run(ALL_OF_IT + "say('done')", *flags)
    assert (ended.status, ended.out) == (0, "done\n"), ended.err
    assert "Warning" not in ended.err
    assert "failed" not in ended.err
    assert len(rows(out)) == 1


def test_development_mode_finds_nothing_to_say(run: Run, out: Path) -> None:
    ended = run(ALL_OF_IT, "-X", "dev", "-W", "error::ResourceWarning")
    assert ended.status == 0, ended.err
    assert ended.err.splitlines() == ended.own_lines


# --- standard streams ----------------------------------------------------------------------------


def test_nothing_on_stdout_and_little_on_stderr(run: Run, out: Path) -> None:
    ended = run(ALL_OF_IT.partition("@track")[0])
    assert ended.status == 0, ended.err
    assert ended.out == ""
    assert 1 <= len(ended.own_lines) <= 5
    assert ended.err.splitlines() == ended.own_lines


def test_a_quiet_level_is_quiet(run: Run) -> None:
    ended = run("with tracker(log_level='ERROR'):\n    time.sleep(0.1)\n")
    assert (ended.status, ended.out, ended.err) == (0, "", "")


NOISE = "NOISE-OF-THE-JOB "
# Another thread of the job goes on printing into what it believes to be its streams.
PRINTING = f"""
over = threading.Event()
def chatter():
    while not over.is_set():
        for fd in (1, 2):
            try:
                os.write(fd, b"{NOISE}")
            except OSError:
                pass
        time.sleep(0.0001)
chat = threading.Thread(target=chatter)
chat.start()
"""


@pytest.mark.parametrize("closed", ["0, 1, 2", "1, 2", "0", "2"])
def test_closed_streams_corrupt_no_file(run: Run, out: Path, closed: str) -> None:
    ended = run(
        f"""
        for fd in ({closed},):
            os.close(fd)
        """
        + PRINTING.replace("\n", "\n        ")
        + """
        t = tracker(country_iso_code="FRA", region="Atlantis", shutdown_timeout_s=20,
                    force_carbon_intensity_g_co2e_kwh=None)
        t.start()
        for _ in range(8):
            t.flush()
            print("printing", flush=False)
            time.sleep(0.03)
        t.stop()
        over.set()
        chat.join()
        open("reached the end", "w").close()
        os._exit(0)
        """
    )
    assert ended.status == 0
    assert (out.parent / "reached the end").exists()
    assert len(rows(out)) == 1
    assert len(receipts(out)) == 1
    # A lock file holds no data, and the library that opens it may get any descriptor.
    files = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".lock"]
    foreign = [path.name for path in files if _holds_noise(path)]
    assert foreign == []


def _holds_noise(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return NOISE in text or "carbon-callbacks: " in text


def test_streams_that_are_none_or_broken(run: Run, out: Path) -> None:
    ended = run(
        """
        class Broken:
            def write(self, text):
                raise ValueError("I/O operation on closed file")
            flush = close = write
        with tracker(project_name="none"):
            sys.stdout = sys.stderr = sys.stdin = None
        sys.stderr = Broken()
        with tracker(project_name="broken"):
            pass
        sys.stderr = sys.__stderr__
        sys.stderr.close()
        with tracker(project_name="closed"):
            pass
        os._exit(0)
        """
    )
    assert ended.status == 0, ended.err
    assert [row["project_name"] for row in rows(out)] == ["none", "broken", "closed"]


def test_a_pipe_that_nobody_reads_any_more(start: Callable[..., Job], out: Path) -> None:
    job = start("time.sleep(0.3)\nwith tracker():\n    time.sleep(0.2)\nos._exit(7)\n")
    assert job.process.stderr is not None
    job.process.stderr.close()
    job.process.stderr = None
    assert job.end().status == 7
    assert len(rows(out)) == 1


# --- import --------------------------------------------------------------------------------------

HEAVY = (
    "requests", "urllib3", "psutil", "pynvml", "numpy", "pandas", "torch", "lightning",
    "pytorch_lightning", "transformers", "keras", "tensorflow", "jax", "subprocess", "socket",
    "asyncio", "multiprocessing", "typer", "rich", "filelock",
)  # fmt: skip
IMPORT = """
import sys
{watch}
import carbon_callbacks, carbon_core
{more}
import os, threading
print(sorted(set({heavy!r}) & set(sys.modules)))
print(threading.active_count(), open(f"/proc/self/task/{{os.getpid()}}/children").read().split())
print([e for e in seen if e[0] != "open" or e[1]])
"""
# Every file opened to write, connection, process and thread is an audit event.
WATCH = """
seen = []
def watch(event, args):
    if event == "open":
        flags = args[2] if isinstance(args[2], int) else 0
        if flags & 3 and "__pycache__" not in str(args[0]):
            seen.append((event, str(args[0])))
    elif event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn",
            "os.system", "os.putenv", "os.mkdir", "os.remove", "os.rename",
            "signal.")):
        seen.append((event, repr(args)[:100]))
sys.addaudithook(watch)
"""


def imported(run: Run, more: str) -> list[str]:
    ended = run(IMPORT.format(watch=WATCH, more=more, heavy=HEAVY), prelude="")
    assert (ended.status, ended.err) == (0, "")
    return ended.out.splitlines()


def files_made(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if not path.name.startswith("job_")]


def test_import_does_nothing_and_loads_nothing_heavy(run: Run, tmp_path: Path) -> None:
    loaded, processes, events = imported(run, "")
    assert loaded == "[]"
    assert processes == "1 []"
    assert events == "[]"
    assert files_made(tmp_path) == []


def test_making_a_tracker_makes_nothing_else(run: Run, tmp_path: Path) -> None:
    more = "carbon_callbacks.EmissionsTracker(output_dir='out', electricitymaps_api_token='x')"
    loaded, processes, events = imported(run, more)
    assert not {"requests", "psutil", "pynvml", "numpy", "torch"} & set(eval(loaded))
    assert processes == "1 []"
    assert events == "[]"
    assert files_made(tmp_path) == []


def test_control_the_watch_sees_what_an_import_might_do(run: Run) -> None:
    more = (
        "import socket, psutil, threading, time\n"
        "socket.socket().close(); open('made', 'w').close()\n"
        "threading.Thread(target=time.sleep, args=(1,)).start()"
    )
    loaded, processes, events = imported(run, more)
    assert {"psutil", "socket"} <= set(eval(loaded))
    assert processes == "2 []"
    assert {"socket.__new__", "open"} <= {event for event, _ in eval(events)}


def test_a_run_without_a_token_asks_nobody_and_starts_no_process(run: Run, out: Path) -> None:
    ended = run(
        "import sys\n"
        + WATCH.replace('"os.putenv", ', "")
        + "with tracker(force_carbon_intensity_g_co2e_kwh=None, country_iso_code='FRA'):\n"
        "    time.sleep(0.3)\n"
        "say([e for e in seen if e[0].startswith(('socket', 'subprocess', 'os.fork', 'os.exec',"
        " 'os.posix', 'os.system', 'signal'))])"
    )
    assert (ended.status, ended.out) == (0, "[]\n"), ended.err
    assert len(rows(out)) == 1


# --- time ----------------------------------------------------------------------------------------


def test_start_and_stop_keep_to_their_limits_in_good_health(run: Run) -> None:
    ended = run(
        """
        began = time.monotonic()
        t = tracker()
        t.start()
        started = time.monotonic()
        time.sleep(0.5)
        stopping = time.monotonic()
        t.stop()
        say(started - began, time.monotonic() - stopping)
        """
    )
    start_s, stop_s = map(float, ended.out.split())
    assert start_s <= 0.5
    assert stop_s <= 0.2

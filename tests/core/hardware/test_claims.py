"""Claims: of the ranks of one job on one machine, exactly one counts each device."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import carbon_core
from carbon_core.clock import SystemClock
from carbon_core.file_locks import FileLock
from carbon_core.hardware.abstract_names import is_taken
from carbon_core.hardware.claims import Claimed, Claims, kept_with
from carbon_core.methods import NVML_ENERGY
from carbon_core.records import Device, Reading

if not hasattr(os, "getuid"):
    pytest.skip("locks by user are for POSIX systems", allow_module_level=True)

GPUS = ["gpu:a", "gpu:b", "gpu:c"]
# Names of sockets are the machine's: another process that runs these tests has another job.
JOB = f"job {os.getpid()}"


class Boards:
    """A meter of several devices."""

    period_s = 1.0

    def __init__(self, *ids: str) -> None:
        self.devices = [Device(one, "gpu", one, NVML_ENERGY) for one in ids]
        self.closed = False

    def read(self) -> list[Reading]:
        return [Reading(device.id, 1, 2.0) for device in self.devices]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "claims"


def taken(claims: Claims, ids: list[str]) -> frozenset[str]:
    claims.take(ids)
    return claims.held


def test_the_first_rank_takes_all_that_it_sees_and_another_one_the_rest(directory):
    first = Claims(directory, JOB, first=True)
    second = Claims(directory, JOB, first=False)
    assert taken(first, GPUS[:2]) == {"gpu:a", "gpu:b"}
    assert taken(second, GPUS) == {"gpu:c"}


def test_the_other_ranks_wait_for_the_first(directory):
    second = Claims(directory, JOB, first=False)
    thread = threading.Thread(target=lambda: second.take(GPUS))
    thread.start()
    first = Claims(directory, JOB, first=True)
    assert taken(first, GPUS) == set(GPUS)
    thread.join(10)
    assert second.held == set()


def test_where_the_first_rank_never_comes_the_others_take_what_they_see(directory):
    second, third = (Claims(directory, JOB, first=False, wait_s=0.1) for _ in range(2))
    assert taken(second, GPUS) == set(GPUS)
    assert taken(third, GPUS) == set()


def test_where_no_launcher_tells_the_first_to_come_is_the_first(directory):
    ranks = [Claims(directory, JOB, first=None) for _ in range(3)]
    assert [rank.first for rank in ranks] == [True, False, False]
    assert sorted(one for rank in ranks for one in taken(rank, GPUS)) == GPUS


def test_jobs_beside_each_other_each_count_the_machine(directory):
    one, other = (Claims(directory, name, first=True) for name in ("one", "other"))
    assert taken(one, GPUS) == taken(other, GPUS) == set(GPUS)


def test_the_next_run_of_a_job_can_take_what_the_last_one_gave_up(directory):
    last = Claims(directory, JOB, first=True)
    last.take(GPUS)
    last.release()
    assert last.held == set()
    assert taken(Claims(directory, JOB, first=True), GPUS) == set(GPUS)


def test_what_a_killed_rank_held_is_free(directory):
    program = (
        "import os, pathlib\nfrom carbon_core.hardware.claims import Claims\n"
        f"claims = Claims(pathlib.Path({str(directory)!r}), 'job', first=True)\n"
        "claims.take(['gpu:a'])\nprint(*claims.held)\nos.kill(os.getpid(), 9)"
    )
    core = str(Path(carbon_core.__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": core}
    done = subprocess.run([sys.executable, "-u", "-c", program], env=environ, capture_output=True)
    assert done.stdout == b"gpu:a\n"
    assert taken(Claims(directory, JOB, first=True), ["gpu:a"]) == {"gpu:a"}


def test_a_meter_shows_the_devices_that_are_claimed(directory):
    rival = Claims(directory, JOB, first=True)
    rival.take(["gpu:b", "gpu:c"])
    mine = Claims(directory, JOB, first=False)
    mine.take(GPUS)
    meter = Boards("gpu:a", "gpu:b")
    part = Claimed(meter, mine)
    assert [device.id for device in part.devices] == ["gpu:a"]
    assert [reading.device_id for reading in part.read()] == ["gpu:a"]
    part.close()
    assert (part.period_s, meter.closed) == (1.0, True)


def test_claims_last_as_long_as_the_meters(directory):
    mine = Claims(directory, JOB, first=True)
    mine.take(GPUS)
    boards = Boards(*GPUS)
    (meter,) = kept_with([boards], mine)
    assert len(meter.read()) == len(meter.devices) == 3
    assert taken(Claims(directory, JOB, first=False), GPUS) == set()
    meter.close()
    assert boards.closed
    assert taken(Claims(directory, JOB, first=True), GPUS) == set(GPUS)


def test_a_rank_without_meters_claims_nothing(directory):
    mine = Claims(directory, JOB, first=None)
    assert kept_with([], mine) == []
    assert Claims(directory, JOB, first=None).first


# --- other users of the machine ---

NOBODY = 65_534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may act as another user")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


def _link(path: Path) -> None:
    (path.parent / "real").mkdir()
    path.symlink_to(path.parent / "real")


def _dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _file(path: Path) -> None:
    path.write_text("a file of the user")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _writable_for_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o1777)


def _in_another_user_s_name(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may act as another user")
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)


@on_linux
@pytest.mark.parametrize(
    "plant",
    [_link, _dangling_link, _file, _pipe, _writable_for_all, _in_another_user_s_name],
)
def test_a_directory_that_others_have_made_changes_no_count(tmp_path, plant):
    directory = tmp_path / "claims"
    plant(directory)
    before = sorted(tmp_path.rglob("*"))
    first = Claims(directory, JOB, first=True)
    second = Claims(directory, JOB, first=False)
    try:
        assert taken(first, GPUS[:2]) == {"gpu:a", "gpu:b"}
        assert taken(second, GPUS) == {"gpu:c"}
        assert not second.doubtful
    finally:
        first.release()
        second.release()
    assert sorted(tmp_path.rglob("*")) == before


@on_linux
def test_a_lock_that_another_user_holds_in_a_shared_directory_costs_no_device(tmp_path):
    directory = tmp_path / "claims"
    _writable_for_all(directory)
    claims = Claims(directory, JOB, first=True)
    own = Claims(tmp_path / "private", JOB, first=True)._file("gpu:a", 0.0)
    with FileLock(directory / own.path.name):
        assert taken(claims, GPUS) == set(GPUS)
    claims.release()


OCCUPANT = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
held, waiting = [], []
for name in sys.argv[2:]:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.bind("\\0" + name)
    if sys.argv[1] != "deaf":
        one.listen(0)
        if sys.argv[1] == "full":
            for _ in range(2):
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex("\\0" + name)
    held.append(one)
print("held", flush=True)
sys.stdin.read()
"""


@on_linux
@as_root
@pytest.mark.parametrize("how", ["deaf", "listening", "full"])
def test_names_that_another_user_holds_cost_no_device(directory, how):
    first = Claims(directory, JOB, first=True)
    second = Claims(directory, JOB, first=False, wait_s=1.0)
    names = [first._address(one) for one in ("first rank", *GPUS)]
    child = subprocess.Popen(
        [sys.executable, "-c", OCCUPANT, how, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "held\n"
        assert not any(is_taken(name) for name in names)
        assert taken(first, GPUS[:2]) == {"gpu:a", "gpu:b"}
        assert taken(second, GPUS) == {"gpu:c"}
        assert not second.doubtful
        # Where the directory is another user's, too, the node's first rank counts what it sees.
        (directory.parent / "file").touch()
        nowhere = Claims(directory.parent / "file", JOB, first=True)
        assert taken(nowhere, GPUS) == set(GPUS)
    finally:
        first.release()
        second.release()
        child.communicate("")


def test_nobody_waits_without_end(directory):
    before_ns = SystemClock().monotonic_ns()
    Claims(directory, JOB, first=False, wait_s=0.2).take([])
    assert SystemClock().monotonic_ns() - before_ns < 5e9


# --- ranks with private temporary directories ---


@on_linux
def test_ranks_with_private_temporary_directories_divide_the_devices(tmp_path):
    first = Claims(tmp_path / "one", JOB, first=True)
    second = Claims(tmp_path / "other", JOB, first=False)
    assert taken(first, GPUS[:2]) == {"gpu:a", "gpu:b"}
    assert taken(second, GPUS) == {"gpu:c"}
    assert not first.doubtful
    assert not second.doubtful


@on_linux
def test_private_ranks_whose_launcher_does_not_number_them(tmp_path):
    ranks = [Claims(tmp_path / str(n), JOB, first=None) for n in range(3)]
    assert [rank.first for rank in ranks] == [True, False, False]
    assert sorted(one for rank in ranks for one in taken(rank, GPUS)) == GPUS


def test_nodes_that_are_numbered_are_not_one(tmp_path):
    one, other = (Claims(tmp_path / n, JOB, first=True, node=n) for n in ("0", "1"))
    assert taken(one, GPUS) == taken(other, GPUS) == set(GPUS)


HOLD = """
import pathlib, sys
from carbon_core.hardware.claims import Claims
claims = Claims(pathlib.Path(sys.argv[1]), sys.argv[2], first=True)
claims.take(["gpu:a"])
print(*claims.held, flush=True)
sys.stdin.read()
"""


@on_linux
def test_a_private_rank_holds_its_devices_until_it_dies(tmp_path):
    core = str(Path(carbon_core.__file__).parents[1])
    rival = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "rival"), JOB],
        env={**os.environ, "PYTHONPATH": core},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert rival.stdout is not None
    assert rival.stdout.readline() == b"gpu:a\n"
    mine = Claims(tmp_path / "mine", JOB, first=False)
    assert taken(mine, ["gpu:a", "gpu:b"]) == {"gpu:b"}
    rival.kill()
    rival.communicate()
    assert taken(mine, ["gpu:a"]) == {"gpu:a", "gpu:b"}


@on_linux
def test_a_forked_worker_does_not_keep_the_claims_of_its_parent(directory):
    mine = Claims(directory, JOB, first=True)
    mine.take(GPUS)
    ready, go = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(0)
    mine.release()
    assert taken(Claims(directory, JOB, first=True), GPUS) == set(GPUS)
    os.close(go)
    os.close(ready)
    os.waitpid(worker, 0)


def test_a_rank_that_does_not_meet_the_first_one_doubts_its_devices(directory):
    alone = Claims(directory, JOB, first=False, wait_s=0.1)
    alone.take(GPUS)
    assert alone.doubtful
    (device, *_) = Claimed(Boards(*GPUS), alone).devices
    assert device.least_share == 0.0
    assert "may count it, too" in device.note


def sockets_open() -> set[int]:
    links = {link: link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return {int(link.name) for link, end in links.items() if str(end).startswith("socket:")}


@on_linux
def test_releasing_does_not_close_a_file_of_the_program(tmp_path):
    mine = Claims(tmp_path / "claims", JOB, first=True)
    before = sockets_open()
    mine.take(["gpu:a"])
    sockets = sockets_open() - before
    assert sockets
    for number in sockets:
        os.close(number)
    files = [(tmp_path / f"file-{number}").open("w") for number in sockets]
    assert {file.fileno() for file in files} == set(sockets)
    mine.release()
    for file in files:
        file.write("still open")
        file.close()

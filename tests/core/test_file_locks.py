"""Locks: held by one, refused by a file system, lost with their descriptor, replaced by a marker."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import carbon_core
from carbon_core import file_locks
from carbon_core.file_locks import FileLock, NoLocksError, OpenFile, Timeout, exclusive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has locks of its own")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system refuses every lock."""
    import fcntl

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_held_by_one_and_free_after_its_release(path: Path) -> None:
    with FileLock(path):
        with pytest.raises(Timeout):
            FileLock(path).acquire()
        with pytest.raises(Timeout):
            FileLock(path, timeout=0.1).acquire()
    with FileLock(path):
        assert path.read_bytes() == b""


def test_a_lock_whose_file_is_deleted_is_no_longer_intact(path: Path) -> None:
    lock = FileLock(path)
    assert not lock.is_intact
    lock.acquire()
    assert lock.is_intact
    path.unlink()
    assert not lock.is_intact
    lock.release()
    with FileLock(path):
        assert path.exists()


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(path: Path) -> None:
    path.symlink_to(path.with_name("victim"))
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path).acquire()
    assert not path.with_name("victim").exists()
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    with FileLock(pipe):
        pass


def test_a_released_lock_closes_no_descriptor_of_others(path: Path) -> None:
    lock = FileLock(path)
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    lock.acquire()  # gets the lowest number that is free
    os.close(number)
    other = os.open(path.with_name("other"), os.O_RDWR | os.O_CREAT)
    assert other == number, "control: the number is used again"
    lock.release()
    assert os.write(other, b"open") == 4
    os.close(other)


def test_a_forked_child_does_not_release_its_parents_lock(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(Timeout):
        FileLock(path).acquire()
    lock.release()


def test_a_forked_child_does_not_hold_its_parents_lock_longer_than_the_parent(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:  # a process that locks, forks and dies at once
        FileLock(path.with_name("other")).acquire()
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)
        os._exit(0)
    os.waitpid(parent, 0)
    # The child's copy is closed within the fork, which may take a moment.
    with FileLock(path.with_name("other"), timeout=5.0), pytest.raises(Timeout):
        FileLock(path).acquire()
    os.close(writer)
    os.close(reader)
    lock.release()


def test_a_file_that_cannot_be_written_can_be_locked(path: Path) -> None:
    path.touch(0o444)
    if os.geteuid() != 0:  # the superuser may write it anyway
        with pytest.raises(PermissionError):
            path.open("r+b")
    with FileLock(path), pytest.raises(Timeout):
        FileLock(path).acquire()


# --- without locks -------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_locks")
def test_a_file_system_without_locks_is_an_error_of_its_own(path: Path) -> None:
    lock = FileLock(path, timeout=30.0)
    with pytest.raises(NoLocksError, match="No locks available"):
        lock.acquire()
    lock.release()


@pytest.mark.usefixtures("no_locks")
def test_a_marker_is_held_by_one_and_removed(path: Path) -> None:
    marker = path.with_name("marker")
    with exclusive(path, marker, 0.1) as has_lock:
        assert not has_lock
        with pytest.raises(Timeout), exclusive(path, marker, 0.1):
            pass
    with exclusive(path, marker, 0.1):
        pass
    assert [entry.name for entry in path.parent.iterdir()] == ["a.lock"]


@pytest.mark.usefixtures("no_locks")
def test_the_marker_of_a_killed_process_is_replaced(path: Path) -> None:
    marker = path.with_name("marker")
    marker.touch()
    os.utime(marker, (0, 0))
    with exclusive(path, marker, 0.1):
        assert marker.stat().st_mtime > 0
    assert not marker.exists()


def test_with_locks_there_is_no_marker(path: Path) -> None:
    marker = path.with_name("marker")
    with exclusive(path, marker, 0.1) as has_lock:
        assert has_lock
        assert not marker.exists()


def test_a_directory_in_the_place_of_the_lock_is_survived(path: Path) -> None:
    path.mkdir()
    with exclusive(path, path.with_name("marker"), 0.1) as has_lock:
        assert not has_lock


# --- open files ----------------------------------------------------------------------------------


def _deleted(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    os.replace(path.with_name("other"), path)


@pytest.mark.parametrize("lose", [_deleted, _replaced])
def test_an_open_file_that_is_lost_is_still_ours(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    (tmp_path / "other").touch()
    file = OpenFile(os.open(path, os.O_RDWR | os.O_CREAT))
    assert file.is_at(path)
    lose(path)
    assert file.is_ours
    assert not file.is_at(path)
    os.close(file.descriptor)
    assert not file.is_ours


def test_a_marker_that_another_process_has_just_created_is_not_taken_for_a_stale_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / ".locked"
    marker.touch()
    os.utime(marker, (time.time() - 1_000,) * 2)
    replace, other = os.replace, contextlib.ExitStack()

    def while_another_is_faster(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        other.enter_context(file_locks._marked(marker, 1.0))
        replace(source, target)  # this process has judged the old marker

    monkeypatch.setattr(os, "replace", while_another_is_faster)
    with pytest.raises(Timeout), file_locks._marked(marker, 0.0):
        pass
    other.close()
    assert not marker.exists()
    assert os.listdir(tmp_path) == []


def test_the_holder_of_a_lock_respects_a_marker(tmp_path: Path) -> None:
    marker = tmp_path / ".locked"
    marker.touch()
    with pytest.raises(Timeout), file_locks.exclusive(tmp_path / "lock", marker, 0.0):
        pass
    marker.unlink()
    with file_locks.exclusive(tmp_path / "lock", marker, 0.0) as has_lock:
        assert has_lock


@pytest.mark.parametrize(
    ("directory_mode", "lock_mode"),
    [(0o777, 0o600), (0o1777, 0o640), (0o775, 0o600), (0o770, 0o604)],
)
def test_a_marker_keeps_those_away_who_cannot_open_the_lock(
    tmp_path: Path, directory_mode: int, lock_mode: int
) -> None:
    lock, marker = tmp_path / "lock", tmp_path / ".locked"
    lock.touch()
    lock.chmod(lock_mode)
    tmp_path.chmod(directory_mode)
    with file_locks.exclusive(lock, marker, 0.0) as has_lock:
        assert has_lock
        with pytest.raises(Timeout), file_locks._marked(marker, 0.0):  # as another user would
            pass
    assert not marker.exists()


@pytest.mark.parametrize(
    ("directory_mode", "lock_mode"),
    [(0o700, 0o600), (0o755, 0o600), (0o777, 0o666), (0o775, 0o664)],
)
def test_where_all_who_may_come_can_open_the_lock_there_is_no_marker(
    tmp_path: Path, directory_mode: int, lock_mode: int
) -> None:
    lock, marker = tmp_path / "lock", tmp_path / ".locked"
    lock.touch()
    lock.chmod(lock_mode)
    tmp_path.chmod(directory_mode)
    with file_locks.exclusive(lock, marker, 0.0):
        assert not marker.exists()


WRITER = """
import os, sys
from pathlib import Path
from carbon_core.file_locks import exclusive
os.setgid(65534)
os.setuid(65534)
count = Path(sys.argv[1]) / "count"
for _ in range(100):
    with exclusive(Path(sys.argv[1]) / "lock", Path(sys.argv[1]) / ".locked", 20.0):
        count.write_text(str(int(count.read_text()) + 1))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root may act as another user")
def test_two_users_with_a_strict_umask_lose_no_write() -> None:
    # Another user cannot enter pytest's directory.
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name)
        lock, marker, count = shared / "lock", shared / ".locked", shared / "count"
        shared.chmod(0o777)
        lock.touch()
        lock.chmod(0o600)
        count.write_text("0")
        count.chmod(0o666)
        environ = {**os.environ, "PYTHONPATH": str(Path(carbon_core.__file__).parents[1])}
        other = subprocess.Popen([sys.executable, "-c", WRITER, name], env=environ)
        own = 0
        while other.poll() is None:
            with file_locks.exclusive(lock, marker, 20.0):
                count.write_text(str(int(count.read_text()) + 1))
                own += 1
        assert other.returncode == 0
        assert int(count.read_text()) == 100 + own

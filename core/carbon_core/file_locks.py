"""File locks for processes that use the same directory; the only module that locks files.

A lock is `flock`'s: the kernel releases it when its process dies, and the file stays empty. Some network
and FUSE file systems have no locks (ENOLCK, ENOSYS, EOPNOTSUPP): `FileLock.acquire` reports that as
`NoLocksError`, and `exclusive` uses a marker file instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from carbon_core import units
from carbon_core.clock import SystemClock

_POLL_S = 0.05
# A write under a marker takes milliseconds, and the copy of a large file seconds. An older marker is
# that of a process that was killed.
_STALE_MARKER_S = 60.0
_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})


class Timeout(TimeoutError):  # noqa: N818 - as in filelock
    """Another process holds the lock."""


class NoLocksError(OSError):
    """The file system has no locks: the file was opened, and the lock was refused."""


class _Lock:
    """A lock on a file, acquired and released by methods or a ``with`` block.

    Args:
        path: The file; created if it is absent, and left there.
        timeout: Longest time to wait for another process, in seconds.
    """

    def __init__(self, path: Path | str, timeout: float = 0.0) -> None:
        self.path = Path(path)
        self._timeout_s = timeout

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Wait for the lock and hold it.

        Raises:
            Timeout: Another process still holds it.
            NoLocksError: The file system has no locks.
            OSError: The file cannot be opened.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Release the lock, if this process holds it."""
        raise NotImplementedError


if sys.platform == "win32":
    import filelock

    from carbon_core.threads import without_log_records

    without_log_records("filelock")

    class FileLock(_Lock):
        """A lock of Windows."""

        def __init__(self, path: Path | str, timeout: float = 0.0) -> None:
            super().__init__(path, timeout)
            self._lock = filelock.FileLock(path, timeout=timeout, thread_local=False)

        @property
        def is_intact(self) -> bool:
            """Whether the lock is held."""
            return self._lock.is_locked

        def acquire(self) -> None:
            """Wait for the lock and hold it."""
            try:
                self._lock.acquire()
            except filelock.Timeout as error:
                raise Timeout(errno.EAGAIN, "locked by another process") from error
            except NotImplementedError as error:
                raise NoLocksError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error

        def release(self) -> None:
            """Release the lock, if it is held."""
            self._lock.release()

else:
    import fcntl

    _held: set[OpenFile] = set()

    def _close_copies() -> None:
        """Close the copies of a forked child, which would hold its parent's locks after its death."""
        for opened in list(_held):
            if opened.is_ours:
                os.close(opened.descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_close_copies)

    class FileLock(_Lock):
        """A lock that the kernel releases when its process dies."""

        def __init__(self, path: Path | str, timeout: float = 0.0) -> None:
            super().__init__(path, timeout)
            self._opened: OpenFile | None = None

        @property
        def is_intact(self) -> bool:
            """Whether the lock is held, on the file that is at the path now."""
            return self._opened is not None and self._opened.is_at(self.path)

        def acquire(self) -> None:
            """Wait for the lock and hold it."""
            deadline_ns = SystemClock.monotonic_ns() + units.nanoseconds(self._timeout_s)
            while not self._try():
                if SystemClock.monotonic_ns() >= deadline_ns:
                    raise Timeout(errno.EAGAIN, "locked by another process")
                threading.Event().wait(_POLL_S)

        def release(self) -> None:
            """Release the lock, if this process holds it; a forked child does not."""
            opened, self._opened = self._opened, None
            if opened is None or opened not in _held:
                return
            _held.discard(opened)
            if not opened.is_ours:
                return  # closed by the program; the descriptor may be another file's by now
            with contextlib.suppress(OSError):
                fcntl.flock(opened.descriptor, fcntl.LOCK_UN)
            os.close(opened.descriptor)

        def _try(self) -> bool:
            opened = OpenFile(_open_lock(self.path))
            _held.add(opened)
            try:
                fcntl.flock(opened.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A process that has finished removes the file of its lock.
                if opened.is_at(self.path) or (opened.has_a_name and os.path.lexists(self.path)):
                    self._opened = opened
            except OSError as error:
                if error.errno not in _HELD:
                    raise NoLocksError(error.errno, error.strerror) from error
            finally:
                if self._opened is not opened:
                    _held.discard(opened)
                    os.close(opened.descriptor)
            return self._opened is opened


class OpenFile:
    """A descriptor and the file that it was opened on.

    A program may close all descriptors (`os.closerange`), and its next file may get the number of one of
    them; and it may delete or replace a file that we have open.

    Args:
        descriptor: Just opened.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._status = os.fstat(descriptor)

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to the file."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self._status)
        except OSError:
            return False

    @property
    def has_a_name(self) -> bool:
        """Whether the file is not deleted; for file systems whose inode numbers change."""
        return self.is_ours and os.fstat(self.descriptor).st_nlink > 0

    def is_at(self, path: Path) -> bool:
        """Return whether the descriptor still belongs to the file, and the path leads to it."""
        try:
            return self.is_ours and os.path.samestat(os.lstat(path), self._status)
        except OSError:
            return False


@contextlib.contextmanager
def exclusive(path: Path, marker: Path, timeout: float) -> Iterator[bool]:
    """Hold a lock, or a marker file where there are no locks; yield whether there are.

    The holder of a lock respects a marker. The converse is impossible: a process takes a marker where it
    cannot open or lock the file. Where another user may write to the directory and cannot open the file,
    the holder therefore has a marker as well.

    Args:
        path: The file to lock.
        marker: A file that only one process can create, removed at the end.
        timeout: Longest time to wait for another process, in seconds.

    Raises:
        Timeout: Another process still holds it.
        OSError: Neither can be created.
    """
    lock = FileLock(path, timeout)
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError:
        with _marked(marker, timeout):
            yield False
        return
    try:
        with contextlib.ExitStack() as stack:
            _keep_others_away(stack, path, marker, timeout)
            yield True
    finally:
        lock.release()


def _keep_others_away(
    stack: contextlib.ExitStack, path: Path, marker: Path, timeout_s: float
) -> None:
    """Wait for the marker of another process; create one where some cannot open the locked file."""
    if _some_cannot_open(path, marker.parent):
        try:
            stack.enter_context(_marked(marker, timeout_s))
        except Timeout:
            raise
        except OSError:
            pass  # a directory that this user cannot write to; the file may be
        else:
            return
    _await_marker(marker, timeout_s)


def _some_cannot_open(path: Path, directory: Path) -> bool:
    """Return whether the group or others may write to a directory, and cannot open a lock's file."""
    try:
        lock, shared = path.lstat().st_mode, directory.stat().st_mode
        above = path.parent.stat().st_mode
    except OSError:
        return False
    return any(
        shared & write and not (lock & read and above & search)
        for write, read, search in (
            (stat.S_IWGRP, stat.S_IRGRP, stat.S_IXGRP),
            (stat.S_IWOTH, stat.S_IROTH, stat.S_IXOTH),
        )
    )


def _await_marker(marker: Path, timeout_s: float) -> None:
    """Wait until there is no marker of a living process."""
    deadline_ns = SystemClock.monotonic_ns() + units.nanoseconds(timeout_s)
    while os.path.lexists(marker):
        _remove_stale(marker)
        if SystemClock.monotonic_ns() >= deadline_ns and os.path.lexists(marker):
            raise Timeout(errno.EAGAIN, "locked by another process")
        threading.Event().wait(_POLL_S)


@contextlib.contextmanager
def _marked(marker: Path, timeout_s: float) -> Iterator[None]:
    deadline_ns = SystemClock.monotonic_ns() + units.nanoseconds(timeout_s)
    own = _created(marker)
    if own is None:
        _remove_stale(marker)
    while own is None and (own := _created(marker)) is None:
        if SystemClock.monotonic_ns() >= deadline_ns:
            raise Timeout(errno.EAGAIN, "locked by another process")
        threading.Event().wait(_POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # Another process may have taken it for stale and have its own there.
            if own is not None and _is_same(marker.lstat(), own):
                os.unlink(marker)


def _created(path: Path) -> os.stat_result | None:
    """Create a file and return its status, or None if it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two markers are the same file: a new one may have the number of a deleted one."""
    return os.path.samestat(one, other) and one.st_mtime_ns == other.st_mtime_ns


def _remove_stale(marker: Path) -> None:
    """Remove the marker of a process that was killed while it had it."""
    # The age is the difference of two times of the file server: the clocks of hosts may differ.
    now = marker.with_name(f"{marker.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with contextlib.suppress(OSError):
        created = _created(now)
        if created is not None:
            try:
                found = marker.lstat()
                if created.st_mtime - found.st_mtime > _STALE_MARKER_S:
                    os.replace(marker, now)
                    if not _is_same(now.lstat(), found):
                        os.link(now, marker)  # another process was faster, and this one is its own
            finally:
                os.unlink(now)


def _open_lock(path: Path) -> int:
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except PermissionError:
        # The file of another user; a lock needs no permission to write.
        return os.open(path, os.O_RDONLY | flags)

"""Names that one process holds, visible to all processes of a machine whatever they have mounted.

A name is the address of a socket in Linux's abstract namespace. It belongs to the network namespace, so
that processes with different temporary directories or file systems share it; the kernel frees it when
its process ends. See https://man7.org/linux/man-pages/man7/unix.7.html.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
import sys
import threading
import weakref

ARE_SUPPORTED = sys.platform == "linux"
_CREDENTIALS = struct.Struct("3i")
# Those who check a name are never accepted, but wait in its queue: room for all ranks of a node.
_WAITING = 4096
# Between the calls that give a socket its name and that let others connect.
_GAP_S = 0.02
_TRIES = 3


class HeldName:
    """A name of this process, freed by `free` or when the object is garbage-collected.

    Args:
        name: The name.
        holder: The socket that has it.
    """

    def __init__(self, name: str, holder: socket.socket) -> None:
        self.free = weakref.finalize(self, _close, holder, os.fstat(holder.fileno()))
        _held[name] = self


# A forked child closes its copies: else it would hold the names, too, after its parent has freed them.
_held: weakref.WeakValueDictionary[str, HeldName] = weakref.WeakValueDictionary()


class NameTaken(Exception):  # noqa: N818 - an outcome, not an error
    """Another process of this user holds the name."""


def hold(name: str) -> HeldName | None:
    """Hold a name; None where the system, or another user, does not permit it.

    Raises:
        NameTaken: Another process, or another part of this one, holds it.
    """
    if not ARE_SUPPORTED:
        return None
    for attempt in range(_TRIES):
        held = _bind(name)
        if held is not None:
            return held
        if is_taken(name):
            raise NameTaken
        if attempt + 1 < _TRIES:
            threading.Event().wait(_GAP_S)
    return None


def is_taken(name: str) -> bool:
    """Return whether a living process of this user holds a name."""
    if not ARE_SUPPORTED or sys.platform != "linux":  # mypy checks each platform
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(f"\0{name}")
            owner = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        # It is free, or its queue is full: another user's socket, whose name this user cannot get.
        return False
    pid, user, _ = _CREDENTIALS.unpack(owner)
    if user != os.getuid():
        return False
    return name in _held if pid == os.getpid() else _is_alive(pid)


def _bind(name: str) -> HeldName | None:
    """Hold a name if it is free."""
    try:
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        holder.bind(f"\0{name}")
        holder.listen(_WAITING)
    except OSError:
        holder.close()
        return None
    _free_in_children()
    return HeldName(name, holder)


def _is_alive(pid: int) -> bool:
    """Return whether a process lives; one of another pid namespace (0) is taken for alive."""
    # A process that was forked from a dead one, by other means than Python's, may still hold its names.
    try:
        if pid > 0:
            os.kill(pid, 0)  # sends nothing
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


@functools.cache
def _free_in_children() -> None:
    os.register_at_fork(after_in_child=_free_all)


def _free_all() -> None:
    for held in list(_held.values()):
        held.free()


def _close(holder: socket.socket, identity: os.stat_result) -> None:
    """Close a socket, unless the program has closed its descriptor and uses the number for a file."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(holder.fileno()), identity):
            holder.close()
    holder.detach()

"""``carbon-callbacks run -- COMMAND``: measures a command with everything that it starts.

The command has this process's input, output and terminal. Signals go on to it, its exit status comes
back, and where this process is killed, so is the command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import typer

from carbon_callbacks.cli.tracking import tracker_of

NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
# What a batch system or a user ends a program with.
_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
_OF_THE_KEYBOARD = {signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)}
_PR_SET_PDEATHSIG = 1


def run(command: Sequence[str], settings: Sequence[str]) -> None:
    """Measure a command; exit with its status, or 128 and the number of the signal that ended it.

    Args:
        command: The program and its arguments.
        settings: Settings as ``key=value``.
    """
    # The machine is not the command's alone, unless somebody says so.
    tracker = tracker_of(settings, tracking_mode="process")
    with _passing_signals_on() as to:
        child = _started(command)
        to(child)
        tracker.start()
        code = child.wait()
        # Whoever signals a whole job may reach this process a moment later than the command.
        tracker.stop(_status(code))
    raise typer.Exit(SIGNALLED - code if code < 0 else code)


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the command, before this process has any other thread."""
    try:
        die_together = _die_with_parent if sys.platform == "linux" else None
        return subprocess.Popen(list(command), preexec_fn=die_together)  # noqa: S603, PLW1509
    except FileNotFoundError as error:
        print(f"{command[0]}: no such command", file=sys.stderr)
        raise typer.Exit(NOT_FOUND) from error
    except OSError as error:
        print(f"{command[0]}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(NOT_EXECUTABLE) from error


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def _passing_signals_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Give what names the child that gets the signals which come meanwhile, also before it is named."""
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not children:
            early.append(number)
        elif not (number in _OF_THE_KEYBOARD and _has_the_terminal()):
            children[0].send_signal(number)

    def to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            pass_on(number, None)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_the_terminal() -> bool:
    """Tell whether the keyboard's signals reach the command by themselves."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except (OSError, AttributeError):
        return False


def _status(code: int) -> str:
    if code == 0:
        return "completed"
    return "interrupted" if code < 0 else "failed"

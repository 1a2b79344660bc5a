"""``carbon-callbacks run -- COMMAND``: measure a command, including the processes that it starts.

The command inherits input, output, terminal and other open files. Signals are forwarded to it, except
those that are ignored, as after ``nohup``: they are ignored by the command, too. Its exit status is
returned, and if this process is killed, the command is terminated.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

import typer

from carbon_callbacks.cli.terminal import environment_of_child, warn
from carbon_callbacks.cli.tracking import tracker_of
from carbon_core import EmissionsTracker
from carbon_core.outputs.enclosing import variable_for
from carbon_core.study_environment import study_of

NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
# Signals by which batch systems and users stop or notify a program.
_FORWARDED = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
_KEYBOARD = {signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)}
_PR_SET_PDEATHSIG = 1


def run(command: Sequence[str], settings: Sequence[str]) -> None:
    """Run and measure a command; exit with its status, or 128 + number of the signal that ended it.

    Args:
        command: The program and its arguments.
        settings: Settings as ``key=value``.
    """
    # By default the machine is shared with other programs.
    tracker = tracker_of(settings, tracking_mode="process")
    with forwarding_signals() as forward_to:
        child = start(command, _environment(tracker))
        forward_to(child)
        tracker.start()
        code = child.wait()
        # A signal sent to a whole job may arrive here a moment after the command has ended.
        tracker.stop(_status(code))
    raise typer.Exit(SIGNALLED - code if code < 0 else code)


def _environment(tracker: EmissionsTracker) -> dict[str, str]:
    """Return the environment of the command: a tracker in it measures a part of the same energy."""
    environ = environment_of_child()
    settings = tracker.settings
    whole_machine = settings.tracking_mode == "machine"
    study_id = study_of(environ, settings.study_id).study_id
    within = variable_for(tracker.run_id, environ, whole_machine=whole_machine, study_id=study_id)
    return {**environ, **within}


def start(
    command: Sequence[str], environ: Mapping[str, str], stdout: IO[str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the command; must run before this process starts a thread.

    Args:
        command: The program and its arguments.
        environ: Its variables.
        stdout: Its standard output, if that is not the one of this process.
    """
    try:
        preexec = _die_with_parent if sys.platform == "linux" else None
        return subprocess.Popen(  # noqa: S603
            list(command),
            env=environ,
            stdout=stdout,
            preexec_fn=preexec,  # noqa: PLW1509
            # Such as the pipe of `<(command)` in a shell. Python closes its own files in the command.
            close_fds=False,
        )
    except FileNotFoundError as error:
        warn(f"{command[0]}: no such command")
        raise typer.Exit(NOT_FOUND) from error
    except OSError as error:
        warn(f"{command[0]}: {error.strerror or error}")
        raise typer.Exit(NOT_EXECUTABLE) from error


def _die_with_parent() -> None:
    """Request that the kernel terminates this process when its parent is killed."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def forwarding_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Forward signals to a child process.

    Yields a function that sets the child; signals received before are forwarded then.
    """
    children: list[subprocess.Popen[bytes]] = []
    pending: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if not children:
            pending.append(number)
        elif not (number in _KEYBOARD and _has_the_terminal()):
            children[0].send_signal(number)

    def forward_to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in pending:
            forward(number, None)

    previous = {
        number: signal.signal(number, forward)
        for number in _FORWARDED
        # With a handler here, the command would get the default action in place of this.
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield forward_to
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _has_the_terminal() -> bool:
    """Return whether the terminal sends the keyboard's signals to the command, too.

    It is the controlling terminal that does; standard input may be a file.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except (OSError, AttributeError):
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except (OSError, AttributeError):
        return False
    finally:
        os.close(terminal)


def _status(code: int) -> str:
    if code == 0:
        return "completed"
    return "interrupted" if code < 0 else "failed"

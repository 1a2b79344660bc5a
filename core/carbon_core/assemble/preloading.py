"""Loads the modules of a run before it begins, so that the first steps of a training import none.

The imports take some 50 ms of a thread that shares Python's lock with the training. They happen once in
a process: on the thread that prepares a run, or on one that ends with them.
"""

from __future__ import annotations

import contextlib

from carbon_core.threads import LazyThread


def preload() -> None:
    """Load the modules of a run on a thread of its own, unless that was done already."""
    _thread.start()


def load_modules() -> None:
    """Load the modules of meters and files, unless that was done already."""
    # What cannot be loaded is reported by the run that needs it.
    with contextlib.suppress(Exception):
        from importlib import import_module

        for name in _MODULES:
            import_module(f"carbon_core.{name}")
        import_module("carbon_core.hardware.discover").load_libraries()


# In the order in which a start needs them.
_MODULES = (
    "tracker.run",
    "assemble.build",
    "tracker.open_window",
    "outputs.run_directory",
    "fresh_line",
)
_thread = LazyThread(load_modules, "carbon-preload")

"""Runs are closed however a training ends, and copies of a callback are independent."""

from __future__ import annotations

import copy
import gc
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks.testing.adapted import Adapted
from carbon_callbacks.testing.framework import EPOCHS, Boom, Fault, both, clockwork, raising
from carbon_callbacks.testing.machine import (
    Machine,
    assert_two_runs,
    open_files_under,
    process_state,
    receipts,
    rows,
    run_python,
    threads_of_ours,
)
from carbon_core import status_of


def via_pickle(value: Any) -> Any:
    """Return a copy that went through pickle."""
    return pickle.loads(pickle.dumps(value))


class EndsContract(Adapted):
    """Exceptions arrive unchanged and close the run."""

    @pytest.mark.parametrize("where", ["train", "validate", "load"])
    def test_exception_arrives_unchanged_and_closes_the_run(self, where: str, place: Path) -> None:
        self.skip_unless_called(where)
        error = Boom("boom", 7)
        callback = self.framework.callback()
        before = process_state()
        arrives = self.framework.arrives(where, error)
        with pytest.raises(arrives) as caught:
            self.framework.train(callback, on_batch=Fault(where, error))
        assert caught.value is error or arrives is not Boom
        assert error.args == ("boom", 7)
        self.assert_closed("failed", place, before)

    @pytest.mark.parametrize("where", ["train", "validate", "load"])
    def test_interrupt_arrives_and_closes_the_run(self, where: str, place: Path) -> None:
        self.skip_unless_called(where)
        error = KeyboardInterrupt("boom")
        callback = self.framework.callback()
        before = process_state()
        arrives = self.framework.arrives(where, error)
        with pytest.raises(arrives) as caught:
            self.framework.train(callback, on_batch=Fault(where, error))
        assert caught.value is error or arrives is not KeyboardInterrupt
        # Lightning switches Ctrl-C off after it was pressed.
        signal.signal(signal.SIGINT, before[1][signal.SIGINT])
        # A framework may raise an error of its own instead, which cannot be distinguished from others.
        self.assert_closed(status_of(caught.value), place, before)

    def test_running_out_of_memory_closes_the_run(self, place: Path) -> None:
        error = self.framework.out_of_memory()
        callback = self.framework.callback()
        before = process_state()
        arrives = self.framework.arrives("train", error)
        with pytest.raises(arrives) as caught:
            self.framework.train(callback, on_batch=Fault("train", error))
        assert caught.value is error or arrives is not type(error)
        self.assert_closed("failed", place, before)

    def test_exception_of_another_callback_closes_the_run(self, place: Path) -> None:
        error = Boom("theirs")
        callback = self.framework.callback()
        before = process_state()
        arrives = self.framework.arrives("hook", error)
        with pytest.raises(arrives) as caught:
            self.framework.train(callback, self.framework.in_hook(raising(error)))
        assert caught.value is error or arrives is not Boom
        self.assert_closed("failed", place, before)

    def test_end_of_the_process_changes_nothing_for_a_run_that_raised(self) -> None:
        program = self.in_another_process() + (
            "from carbon_callbacks.testing import Boom, Fault\n"
            "callback = tests.framework.callback()\n"
            "tests.framework.train(callback, on_batch=Fault('train', Boom('at the end')))\n"
        )
        done = run_python(program)
        assert done.returncode == 1
        assert "Boom: at the end" in done.stderr
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert len(rows()) == 1

    @pytest.mark.usefixtures("hooks")
    def test_block_around_a_training_that_ends_well_changes_nothing(self) -> None:
        with self.framework.callback() as callback:
            self.framework.train(callback)
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    @pytest.mark.usefixtures("hooks")
    def test_block_without_a_training_writes_nothing(self, place: Path) -> None:
        with self.framework.callback():
            pass
        assert not list(place.iterdir())

    def test_training_after_one_that_raised_is_measured(self, machine: Machine) -> None:
        callback = self.framework.callback()
        until_it_raises = both(clockwork(machine.clock), Fault("train", Boom()))
        with pytest.raises(self.framework.arrives("train", Boom())):
            self.framework.train(callback, on_batch=until_it_raises)
        first = callback.report
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        assert_two_runs(first, callback.report, "failed")
        assert len(outcome.epochs) == (EPOCHS if self.framework.logs_epochs else 0)

    def skip_unless_called(self, where: str) -> None:
        """Skip a test of what raises at a batch of a kind, where no code of the program runs in one."""
        if where not in self.framework.calls:
            pytest.skip(f"no code of the program runs where the framework does this: {where}")

    def assert_closed(self, status: str, place: Path, before: Any) -> None:
        """Check that one run was closed with a status, and that the process is as it was before."""
        assert [receipt["status"] for receipt in receipts()] == [status]
        assert len(rows()) == 1
        assert not threads_of_ours()
        assert not open_files_under(place)
        assert process_state() == before


class CopiesContract(Adapted):
    """Copies are inert, whenever they are made, and hold no secret."""

    @pytest.mark.parametrize("duplicate", ["pickle", "deepcopy"])
    def test_copies_are_inert_whenever_they_are_made(self, duplicate: str) -> None:
        copied: Callable[[Any], Any]
        copied = via_pickle if duplicate == "pickle" else copy.deepcopy
        callback = self.framework.callback(project_name="mine")
        copies = [copied(callback)]

        def copy_now() -> None:
            copies.append(copied(callback))

        self.framework.train(callback, self.framework.in_hook(copy_now))
        assert len(copies) >= 2
        copies.append(copied(callback))
        assert not any(self.framework.training(one).running for one in copies)
        assert copies[1].report is None
        del copies[:2]
        gc.collect()
        assert len(rows()) == 1

        self.framework.train(copies[-1])
        assert [row["project_name"] for row in rows()] == ["mine", "mine"]
        assert len({row["run_id"] for row in rows()}) == 2

    def test_copy_made_during_training_measures_its_own(self, machine: Machine) -> None:
        callback = self.framework.callback()
        copies: list[Any] = []
        turn = clockwork(machine.clock)

        def copy_now() -> None:
            copies.append(via_pickle(callback))

        self.framework.train(callback, self.framework.in_hook(copy_now), on_batch=turn)
        self.framework.train(copies[0], on_batch=turn)
        assert_two_runs(callback.report, copies[0].report)

    def test_copy_holds_no_secret(self) -> None:
        callback = self.framework.callback(electricitymaps_api_token="s3cr3t-t0ken")
        assert b"s3cr3t-t0ken" not in pickle.dumps(callback)
        assert "s3cr3t-t0ken" not in repr(vars(copy.deepcopy(callback)))

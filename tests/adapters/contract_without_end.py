"""What adapters promise whose framework tells nobody about an exception."""

from typing import Any

import pytest
from adapters.contract import (
    Boom,
    Contract,
    Fault,
    both,
    clockwork,
    collect,
    nothing,
    open_files_under,
    receipts,
    rows,
    run_python,
    threads_of_ours,
)


class ContractWithoutEnd(Contract):
    """The tests that come on top of the contract."""

    def fail(self, callback: Any, on_batch: Any = nothing) -> None:
        """Train until it raises; keep nothing of it."""
        error = Boom("boom", 7)
        with pytest.raises(Boom) as caught:
            self.world.train(callback, on_batch=both(on_batch, Fault("train", error)))
        assert caught.value is error
        # TensorFlow keeps the data for ever, with it this error, and all that its frames hold.
        error.__traceback__ = None

    def test_next_training_closes_the_run_that_raised(self, machine):
        callback = self.world.callback()
        turn = clockwork(machine.clock)
        self.fail(callback, turn)
        outcome = self.world.train(callback, on_batch=turn)
        first, second = receipts()
        assert (first["status"], second["status"]) == ("interrupted", "completed")
        assert first["run"]["run_id"] != second["run"]["run_id"]
        assert len(rows()) == 2
        assert len(outcome.epochs) == 2
        assert not threads_of_ours()

    def test_forgotten_callback_closes_the_run_that_raised(self, place):
        callback = self.world.callback()
        self.fail(callback)
        assert threads_of_ours()
        del callback
        collect()
        assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
        assert len(rows()) == 1
        assert not threads_of_ours()
        assert not open_files_under(place)

    def test_end_of_the_process_closes_the_run_that_raised(self):
        tests = type(self)
        program = (
            f"from adapters.{tests.__module__.rpartition('.')[2]} import {tests.__name__} as tests\n"
            "from adapters.contract import Boom, Fault\n"
            "callback = tests.world.callback()\n"
            "tests.world.train(callback, on_batch=Fault('train', Boom('at the end')))\n"
        )
        done = run_python(program)
        assert done.returncode == 1
        assert "Boom: at the end" in done.stderr
        assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
        assert len(rows()) == 1

    def test_block_around_a_training_that_ends_well_changes_nothing(self):
        with self.world.callback() as callback:
            self.world.train(callback)
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_block_without_a_training_writes_nothing(self, place):
        with self.world.callback():
            pass
        assert not list(place.iterdir())

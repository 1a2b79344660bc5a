"""Reporters and other callbacks."""

import ast
import contextlib
import copy
import io
from typing import Any

from transformers import TrainerCallback
from upstream.harness import Place
from upstream.transformers_ways.trainers import (
    WAYS,
    At,
    Recorder,
    make,
    note_logs,
    seen,
)


@WAYS.way("TensorBoard")
def tensorboard(place: Place) -> Any:
    place.need("tensorboard")
    trainer = make(place, report_to=["tensorboard"], eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a notebook's table")
def a_notebooks_table(place: Place) -> Any:
    place.need("IPython")
    from transformers.utils.notebook import NotebookProgressCallback

    tables: list[Any] = []
    notebook = NotebookProgressCallback()

    class Read(TrainerCallback):
        def on_train_end(self, *_: Any, **__: Any) -> None:
            tables.append(copy.deepcopy(notebook.training_tracker.inner_table))

    with contextlib.redirect_stdout(io.StringIO()):
        trainer = make(place, before=(Read(), notebook), eval_strategy="epoch")
        output = trainer.train()
    (header, *rows) = tables[0]
    assert len(set(header)) == len(header)
    return seen(place, trainer, output, header, rows)


@WAYS.way("a notebook's table of steps")
def a_notebooks_table_of_steps(place: Place) -> Any:
    place.need("IPython")
    from transformers.utils.notebook import NotebookProgressCallback

    tables: list[Any] = []
    notebook = NotebookProgressCallback()

    class Read(TrainerCallback):
        def on_train_end(self, *_: Any, **__: Any) -> None:
            tables.append(copy.deepcopy(notebook.training_tracker.inner_table))

    with contextlib.redirect_stdout(io.StringIO()):
        trainer = make(place, before=(Read(), notebook), logging_strategy="steps", logging_steps=3)
        output = trainer.train()
    return seen(place, trainer, output, tables)


def printed(text: str) -> list[dict[str, Any]]:
    """Return the dictionaries that were printed, one a line."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return [ast.literal_eval(line) for line in lines]


@WAYS.way("a printer")
def a_printer(place: Place) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        trainer = make(place, eval_strategy="epoch")  # has one by default
        output = trainer.train()
    note_logs(place, "printed", printed(out.getvalue()))
    return seen(place, trainer, output, len(out.getvalue().splitlines()))


@WAYS.way("a bar of progress with its lines")
def a_bar_of_progress(place: Place) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        trainer = make(place, disable_tqdm=False, eval_strategy="epoch", logging_steps=1)
        output = trainer.train()
        trainer.evaluate()
    return seen(place, trainer, output, len(printed(out.getvalue())))


@WAYS.way("callbacks before and after ours")
def callbacks_around(place: Place) -> Any:
    first = type("First", (Recorder,), {})()
    last = type("Last", (Recorder,), {})()
    trainer = make(place, before=(first,), after=(last,), eval_strategy="epoch")
    output = trainer.train()
    hooks = [[event["hook"] for event in one.events] for one in (first, last)]
    return seen(place, trainer, output, hooks, first.metrics, last.metrics)


@WAYS.way("a callback that compares itself to all")
def a_callback_with_an_odd_equality(place: Place) -> Any:
    class Odd(TrainerCallback):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    trainer = make(
        place, before=(Odd(),), after=(type("Other", (Odd,), {})(),), eval_strategy="epoch"
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("a callback that keeps every log")
def a_callback_that_keeps_every_log(place: Place) -> Any:
    kept: list[Any] = []
    keep = At("on_log", lambda logs, **_: kept.append(logs), times=99)
    trainer = make(place, before=(keep,), eval_strategy="epoch", logging_strategy="steps")
    output = trainer.train()
    note_logs(place, "kept", kept)
    return seen(place, trainer, output)

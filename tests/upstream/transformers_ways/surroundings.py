"""What is around a training."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from upstream.harness import Place
from upstream.transformers_ways.trainers import WAYS, attempt, make, seen, weights_of


@WAYS.way("without gradients")
def without_gradients(place: Place) -> Any:
    trainer = make(place)
    with torch.no_grad():
        failed = attempt(trainer.train)
        metrics = trainer.evaluate()
    return seen(place, trainer, failed[0] if isinstance(failed, list) else failed, metrics)


@WAYS.way("an evaluation in inference mode")
def in_inference_mode(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    with torch.inference_mode():
        metrics = trainer.evaluate()
    return seen(place, trainer, output, metrics)


@WAYS.way("in a thread of its own")
def in_a_thread(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(attempt(trainer.train)))
    thread.start()
    thread.join()
    return seen(place, trainer, found, trainer.evaluate())


@WAYS.way("two Trainers in two threads with a callback each")
def in_two_threads(place: Place) -> Any:
    # One after the other: torch's random numbers are the process's.
    trainers = [make(place, ours=place.new_callbacks()) for _ in range(2)]
    results: list[Any] = []
    for trainer in trainers:
        torch.manual_seed(7)
        thread = threading.Thread(target=lambda one=trainer: results.append(attempt(one.train)))
        thread.start()
        thread.join()
    return seen(place, trainers[1], results, weights_of(trainers[0].model))


@WAYS.way("in an event loop")
def in_an_event_loop(place: Place) -> Any:
    import asyncio

    trainer = make(place, eval_strategy="epoch")

    async def run() -> Any:
        return trainer.train(), trainer.evaluate()

    return seen(place, trainer, asyncio.run(run()))


@WAYS.way("with a seed of the user's in between")
def with_a_seed_in_between(place: Place) -> Any:
    trainer = make(place)
    transformers.set_seed(3)
    drawn = torch.rand(1).item(), np.random.rand()
    output = trainer.train()
    return seen(place, trainer, drawn, output, torch.rand(1).item(), np.random.rand())


@WAYS.way("in another directory")
def in_another_directory(place: Place) -> Any:
    trainer = make(place)
    other = place.path / "other"
    other.mkdir()
    before = Path.cwd()
    os.chdir(other)
    try:
        output = trainer.train()
        here = Path.cwd().name
    finally:
        os.chdir(before)
    return seen(place, trainer, output, here)


@WAYS.way("warnings as errors")
def warnings_as_errors(place: Place) -> Any:
    import warnings

    trainer = make(place, eval_strategy="epoch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = attempt(trainer.train)
    return seen(place, trainer, output)


@WAYS.way("a stack that is nearly full")
def a_stack_that_is_nearly_full(place: Place) -> Any:
    trainer = make(place)

    def deep(levels: int) -> Any:
        return deep(levels - 1) if levels else trainer.train()

    return seen(place, trainer, deep(400))

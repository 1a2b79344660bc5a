"""A Hugging Face Trainer that takes 1,000 steps so small that a callback's cost shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

STEPS = 1000


class TinyModel(torch.nn.Module):
    """One linear layer, with the loss that Trainer asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the mean squared error of a batch of shape (n, 4) against labels (n, 1)."""
        return {"loss": torch.nn.functional.mse_loss(self.layer(x), labels)}


class Stopwatch:
    """Times a callback's own hooks on the training thread.

    Attributes:
        spans_s: Seconds that each call took.
    """

    def __init__(self) -> None:
        self.spans_s: list[float] = []

    def watch(self, callback: Any, base: type = TrainerCallback, part: str = "on_") -> Any:
        """Wrap the hooks that the callback has of its own, with `part` in their names; return it."""
        for name in dir(base):
            own = getattr(type(callback), name) is not getattr(base, name)
            if own and name.startswith("on_") and part in name:
                setattr(callback, name, self._timed(getattr(callback, name)))
        return callback

    def _timed(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun_s = time.perf_counter()
            try:
                return hook(*args, **kwargs)
            finally:
                self.spans_s.append(time.perf_counter() - begun_s)

        return timed


def train(make_callback: Callable[[], TrainerCallback] | None) -> dict[str, float]:
    """Train for `STEPS` steps and time it, from making the callback until train() returns.

    Args:
        make_callback: Imports and makes the callback to be measured; None trains without one.

    Returns:
        ``wall_ms`` of it all; ``own_ms`` that the callback's making and its hooks took of it; and
        ``background_ms``, the processor time of all other threads, which may slow training as well.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trainer_of([], steps=20).train()
    watch = Stopwatch()
    begun_s, others_s = time.perf_counter(), _others_s()
    callbacks = [] if make_callback is None else [make_callback()]
    made_s = time.perf_counter() - begun_s
    trainer_of([watch.watch(callback) for callback in callbacks], STEPS).train()
    wall_s = time.perf_counter() - begun_s
    seconds = {"wall_ms": wall_s, "own_ms": made_s + sum(watch.spans_s)}
    seconds["background_ms"] = _others_s() - others_s
    return {name: value * 1e3 for name, value in seconds.items()}


def _others_s() -> float:
    """Return the processor time of this process's other threads."""
    return time.process_time() - time.thread_time()


def trainer_of(callbacks: list[TrainerCallback], steps: int) -> Trainer:
    arguments = TrainingArguments(
        output_dir="hf-run",
        max_steps=steps,
        per_device_train_batch_size=1,
        logging_steps=STEPS // 2,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    data = [{"x": torch.ones(4), "labels": torch.ones(1)} for _ in range(STEPS)]
    return Trainer(TinyModel(), arguments, train_dataset=data, callbacks=callbacks)

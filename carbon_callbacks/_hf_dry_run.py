"""A dry run with a copy of a Hugging Face Trainer and of its model."""

from __future__ import annotations

import copy
import math
import tempfile
from contextlib import suppress
from typing import Any

from carbon_callbacks._training.dry_run import DryRun
from carbon_callbacks._training.kept_state import own_containers
from carbon_core import CarbonError

# Containers of these attributes may be large, and are not changed.
_DATA = ("train_dataset", "eval_dataset")
_QUIET_ARGUMENTS = {
    "report_to": [],
    "push_to_hub": False,
    "load_best_model_at_end": False,
    "logging_first_step": False,
    "eval_on_start": False,
    "disable_tqdm": True,
}
_STRATEGIES = ("eval_strategy", "save_strategy", "logging_strategy")


class HfDryRun:
    """Trains some steps of a Trainer's copy, then evaluates some batches.

    Args:
        trainer: The Trainer, which is copied.
        callback_class: `transformers.TrainerCallback`.
        flow_class: `transformers.trainer_callback.DefaultFlowCallback`.

    Raises:
        CarbonError: A dry run of this training is not possible.
    """

    def __init__(self, trainer: Any, callback_class: Any, flow_class: Any) -> None:
        if trainer.args.world_size > 1:
            raise CarbonError("a dry run on several ranks is not possible: estimate from past runs")
        self._trainer = trainer
        self._callback_class, self._flow_class = callback_class, flow_class

    def run(self, dry: DryRun) -> None:
        """Train and evaluate.

        Args:
            dry: Measures it.
        """
        with tempfile.TemporaryDirectory() as directory:
            copied = self._copy(directory, dry)
            with dry.measure():
                copied.train()
                dry.end_steps()
                count = _evaluations(self._trainer.args, copied.state)
                if count:
                    self._evaluate(copied, dry, count)

    def _evaluate(self, copied: Any, dry: DryRun, count: int) -> None:
        """Evaluate once, or if that takes long, some batches as an evaluation does.

        Args:
            copied: The copy, which has trained.
            dry: Measures it.
            count: Evaluations of the whole training.
        """
        data = copied.eval_dataset
        loaders = [
            copied.get_eval_dataloader(one)
            for one in (data.values() if isinstance(data, dict) else [data])
        ]
        total = 0
        with suppress(TypeError):  # a data set without a length
            total = sum(map(len, loaders))
        if not total:
            return
        copied.model.eval()
        dry.begin_validation(count * total)
        for loader in loaders:
            for batch in loader:
                copied.prediction_step(copied.model, batch, copied.compute_metrics is None)
                if dry.validated():
                    dry.end_validation()
                    return
        # All batches took a moment only: what an evaluation needs besides them counts, too.
        dry.begin_validation(count)
        copied.evaluate()
        dry.validated()
        dry.end_validation()

    def _copy(self, directory: str, dry: DryRun) -> Any:
        """Return a copy with its own model, optimizer and accelerator, and only this callback."""
        trainer = self._trainer
        copied = copy.copy(trainer)
        for name, value in vars(trainer).items():
            if name not in _DATA:
                setattr(copied, name, own_containers(value))
        copied.args = _arguments(trainer.args, directory)
        copied.data_collator = copy.copy(trainer.data_collator)  # it may make a random generator
        parts = trainer.model, _plain(trainer.optimizer), _plain(trainer.lr_scheduler)
        try:
            copied.model, copied.optimizer, copied.lr_scheduler = copy.deepcopy(parts)
        except Exception as error:
            raise CarbonError(f"the model cannot be copied: {error!r}") from error
        copied.model_wrapped = copied.model
        copied.control = type(trainer.control)()
        copied._memory_tracker = copy.copy(trainer._memory_tracker)
        copied.create_accelerator_and_postprocess()
        copied.callback_handler = type(trainer.callback_handler)(
            [self._flow_class(), self._probe(dry)],
            copied.model,
            trainer.callback_handler.processing_class,
            copied.optimizer,
            copied.lr_scheduler,
        )
        return copied

    def _probe(self, dry: DryRun) -> Any:
        base: Any = self._callback_class

        class Steps(base):  # type: ignore[misc]
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if not 0 < state.max_steps < math.inf:
                    raise CarbonError("the length of the training is unknown: set max_steps")
                dry.begin_steps(state.max_steps)

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if dry.step():
                    dry.end_steps()
                    control.should_training_stop = True

        return Steps()


def _arguments(args: Any, directory: str) -> Any:
    """Return arguments with which nothing is saved, logged or evaluated."""
    copied = copy.copy(args)
    copied.output_dir = directory
    for name, value in _QUIET_ARGUMENTS.items():
        if hasattr(args, name):
            setattr(copied, name, value)
    for name in _STRATEGIES:
        setattr(copied, name, type(getattr(args, name))("no"))
    return copied


def _plain(wrapped: Any) -> Any:
    """Return an optimizer or scheduler without accelerate's wrapper, which refers to shared state."""
    while type(wrapped).__name__.startswith("Accelerated"):
        wrapped = getattr(wrapped, "optimizer" if hasattr(wrapped, "optimizer") else "scheduler")
    return wrapped


def _evaluations(args: Any, state: Any) -> int:
    """Return how often a whole training evaluates.

    Args:
        args: The arguments of the training.
        state: The state of a Trainer that has begun it.
    """
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    at_start = int(bool(getattr(args, "eval_on_start", False)))
    if strategy == "epoch":
        epochs: int = math.ceil(state.num_train_epochs)
        return epochs + at_start
    if strategy != "steps" or not args.eval_steps:
        return at_start
    every = args.eval_steps if args.eval_steps >= 1 else state.max_steps * args.eval_steps
    return int(state.max_steps // max(1, math.ceil(every))) + at_start

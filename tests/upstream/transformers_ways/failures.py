"""Trainings that fail, and what is done after them."""

import threading
from typing import Any

from upstream.harness import Boom, Place
from upstream.transformers_ways.trainers import (
    WAYS,
    At,
    FailingNet,
    FailsAt,
    Net,
    Samples,
    attempt,
    checkpoints,
    make,
    must_hold_our_segment,
    raising,
    seen,
)

_ERRORS: dict[str, Any] = {
    "an exception": lambda: Boom("in a step"),
    "an interrupt": lambda: KeyboardInterrupt(),
    "an exit": lambda: SystemExit(3),
    "a stop of an iteration": lambda: StopIteration("odd"),
}


def _register_failures(name: str, error: Any) -> None:
    @WAYS.way(f"{name} in the forward pass")
    def in_forward(place: Place) -> Any:
        trainer = make(place, model=FailingNet(4, error()), eval_strategy="epoch")
        failed = attempt(trainer.train)
        threads = sorted(type(one).__name__ for one in threading.enumerate())
        return seen(place, trainer, failed, len(threads), trainer.evaluate(), trainer.train())

    @WAYS.way(f"{name} in the data")
    def in_data(place: Place) -> Any:
        trainer = make(place, train_dataset=FailsAt(7, error()))
        return seen(place, trainer, attempt(trainer.train), trainer.train())

    @WAYS.way(f"{name} in an evaluation within the training")
    def in_evaluation(place: Place) -> Any:
        model = FailingNet(2, error(), training=False)
        trainer = make(place, model=model, eval_strategy="epoch")
        return seen(place, trainer, attempt(trainer.train), trainer.evaluate())

    @WAYS.way(f"{name} in an evaluation alone")
    def in_evaluation_alone(place: Place) -> Any:
        trainer = make(place, model=FailingNet(1, error(), training=False))
        failed = attempt(trainer.evaluate)
        return seen(place, trainer, failed, attempt(trainer.predict, Samples(4)), trainer.train())


for _name, _error in _ERRORS.items():
    _register_failures(_name, _error)


def _register_hook_failures(hook: str) -> None:
    @WAYS.way(f"another callback raises in {hook}")
    def in_hook(place: Place) -> Any:
        options = {"eval_strategy": "epoch", "save_strategy": "epoch"}
        trainer = make(place, after=(At(hook, raising(Boom(hook))),), **options)
        return seen(place, trainer, attempt(trainer.train), attempt(trainer.train))


for _hook in (
    "on_train_begin",
    "on_epoch_begin",
    "on_step_end",
    "on_log",
    "on_evaluate",
    "on_save",
    "on_epoch_end",
    "on_train_end",
):
    _register_hook_failures(_hook)


@WAYS.way("another callback ahead of ours raises at the end")
def another_callback_raises_at_the_end(place: Place) -> Any:
    trainer = make(place, before=(At("on_train_end", raising(Boom("end"))),))
    return seen(place, trainer, attempt(trainer.train), trainer.train())


@WAYS.way("another callback raises when the Trainer is made")
def another_callback_raises_at_once(place: Place) -> Any:
    failed = attempt(make, place, after=(At("on_init_end", raising(Boom("made"))),))
    trainer = make(place)
    return seen(place, trainer, failed, trainer.train())


@WAYS.way("an exception that leaves the way", raises="Boom")
def an_exception_that_leaves(place: Place) -> Any:
    trainer = make(place, model=FailingNet(4, place.error))
    try:
        return trainer.train()
    finally:
        seen(place, trainer)


@WAYS.way("an exception with its notes and cause")
def an_exception_with_its_cause(place: Place) -> Any:
    error = Boom("in a step")
    error.__cause__ = ValueError("why")
    trainer = make(place, model=FailingNet(4, error))
    try:
        trainer.train()
    except Boom as caught:
        same = caught is error
        context = [str(caught.__cause__), repr(caught.__context__)]
        context.append(getattr(caught, "__notes__", None))
        caught.__traceback__ = None
    return seen(place, trainer, same, context)


@WAYS.way("metrics that raise")
def metrics_that_raise(place: Place) -> Any:
    def metrics(_: Any) -> Any:
        raise Boom("metrics")

    trainer = make(place, compute_metrics=metrics, eval_strategy="epoch")
    return seen(place, trainer, attempt(trainer.train), attempt(trainer.evaluate))


@WAYS.way("a smaller batch after too little memory")
def a_smaller_batch(place: Place) -> Any:
    class Large(Net):
        def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
            if len(x) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
            return super().forward(x, labels)

    trainer = make(
        place,
        model=Large(),
        auto_find_batch_size=True,
        per_device_train_batch_size=8,
        save_strategy="epoch",
    )
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, trainer, output, trainer._train_batch_size)


@WAYS.way("a loss that is not a number")
def a_loss_that_is_not_a_number(place: Place) -> Any:
    class Nan(Net):
        def forward(self, x: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
            found = super().forward(x, labels)
            return {**found, "loss": found["loss"] * float("nan")}

    trainer = make(place, model=Nan(), max_steps=3)
    trainer.train()
    return trainer.state.global_step, str(trainer.state.log_history[0]["loss"])


@WAYS.way("no data at all")
def no_data_at_all(place: Place) -> Any:
    trainer = make(place, train_dataset=None, eval_dataset=None)
    return seen(place, trainer, attempt(trainer.train), attempt(trainer.evaluate))

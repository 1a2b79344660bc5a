"""Checkpoints, resuming, and what is saved."""

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import transformers
from transformers import Trainer
from upstream.harness import Boom, Place
from upstream.transformers_ways.trainers import (
    WAYS,
    At,
    FailingNet,
    attempt,
    checkpoints,
    flagging,
    make,
    must_hold_our_segment,
    needs,
    seen,
)


def resume(place: Place, *, first: dict[str, Any] | None = None, **options: Any) -> Any:
    """Train until another callback stops it, then resume with a Trainer of its own."""
    how = options.pop("how", True)
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2, **options}
    others = options.pop("others", lambda: ())
    stop = At("on_step_end", flagging(should_training_stop=True), step=5)
    one = make(place, after=(*others(), stop), **{**options, **(first or {})})
    before = one.train()
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    path = checkpoints(place)[-1]
    # The second process's torch.load warns of nothing, and the first one's Trainer is gone.
    other = make(place, after=others(), ours=place.new_callbacks(), **options)
    after = other.train(resume_from_checkpoint=str(path) if how == "path" else how)
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    return seen(place, other, before, after)


@WAYS.way("resumed from the last checkpoint")
def resumed(place: Place) -> Any:
    return resume(place)


@WAYS.way("resumed from a path")
def resumed_from_a_path(place: Place) -> Any:
    return resume(place, how="path", eval_strategy="steps", eval_steps=2)


@WAYS.way("resumed without skipping data")
def resumed_without_skipping(place: Place) -> Any:
    return resume(place, ignore_data_skip=True)


@WAYS.way("resumed with the callbacks' states restored")
def resumed_with_states(place: Place) -> Any:
    options = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    return resume(
        place,
        restore_callback_states_from_checkpoint=True,
        others=lambda: (transformers.EarlyStoppingCallback(3),),
        **options,
    )


@WAYS.way("what is logged when states are restored")
def what_is_logged_when_restored(place: Place) -> Any:
    import logging

    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    keep = Keep(logging.WARNING)
    logger = logging.getLogger("transformers.trainer")
    logger.addHandler(keep)
    try:
        found = resume(place, restore_callback_states_from_checkpoint=True)
    finally:
        logger.removeHandler(keep)
    return found, [text for text in records if "allback" in text]


@WAYS.way("resumed after an exception")
def resumed_after_an_exception(place: Place) -> Any:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    one = make(place, model=FailingNet(6, Boom("in a step")), **options)
    failed = attempt(one.train)
    other = make(place, ours=place.new_callbacks(), **options)
    output = other.train(resume_from_checkpoint=True)
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, other, failed, output)


@WAYS.way("resumed by the same Trainer after an exception")
def resumed_by_the_same(place: Place) -> Any:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    trainer = make(place, model=FailingNet(6, Boom("in a step")), **options)
    failed = attempt(trainer.train)
    output = trainer.train(resume_from_checkpoint=True)
    must_hold_our_segment(place, checkpoints(place)[-1])
    return seen(place, trainer, failed, output)


@WAYS.way("a finished training resumed")
def a_finished_training_resumed(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(place, ours=place.new_callbacks(), save_strategy="epoch")
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed with more epochs")
def resumed_with_more_epochs(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(place, ours=place.new_callbacks(), save_strategy="epoch", num_train_epochs=3)
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed without the callback")
def resumed_without_the_callback(place: Place) -> Any:
    first = make(place, save_strategy="epoch").train()
    trainer = make(
        place,
        ours=[],
        save_strategy="epoch",
        num_train_epochs=3,
    )
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("resumed with a callback that the checkpoint lacks")
def resumed_with_a_new_callback(place: Place) -> Any:
    first = make(place, ours=[], save_strategy="epoch").train()
    trainer = make(place, save_strategy="epoch", num_train_epochs=3)
    return seen(place, trainer, first, trainer.train(resume_from_checkpoint=True))


@WAYS.way("a checkpoint asked for by a callback ahead of ours")
def a_checkpoint_asked_for_before(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_save=True), step=3)
    trainer = make(place, before=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for by a callback behind ours")
def a_checkpoint_asked_for_after(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_save=True), step=3)
    trainer = make(place, after=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for at an epoch's end")
def a_checkpoint_asked_for_at_the_end(place: Place) -> Any:
    ask = At("on_epoch_end", flagging(should_save=True))
    trainer = make(place, after=(ask,))
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("a checkpoint asked for by an evaluation")
def a_checkpoint_asked_for_by_an_evaluation(place: Place) -> Any:
    ask = At("on_evaluate", flagging(should_save=True))
    trainer = make(place, after=(ask,), eval_strategy="epoch")
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place)[0])
    return seen(place, trainer, output)


@WAYS.way("the best checkpoint has our segment")
def the_best_checkpoint(place: Place) -> Any:
    trainer = make(
        place,
        save_strategy="best",
        eval_strategy="steps",
        eval_steps=2,
        metric_for_best_model="loss",
        greater_is_better=False,
    )
    output = trainer.train()
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    return seen(place, trainer, output, len(checkpoints(place)))


@WAYS.way("a checkpoint just in time")
def a_checkpoint_just_in_time(place: Place) -> Any:
    needs("enable_jit_checkpoint")
    before = signal.getsignal(signal.SIGTERM)

    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 2 and not self.__dict__.get("asked"):
                self.asked = True
                for one in self.callback_handler.callbacks:
                    if manager := getattr(one, "jit_manager", None):
                        manager.kill_wait = 0
                os.kill(os.getpid(), signal.SIGTERM)
                for thread in threading.enumerate():
                    if isinstance(thread, threading.Timer):
                        thread.join()
            return super().training_step(*args, **kwargs)

    try:
        trainer = make(place, kind=Own, enable_jit_checkpoint=True)
        output = trainer.train()
        restored = signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGTERM, before)
    for checkpoint in checkpoints(place):
        must_hold_our_segment(place, checkpoint)
    other = make(place, ours=place.new_callbacks())
    return seen(place, trainer, output, restored, other.train(resume_from_checkpoint=True))


@WAYS.way("state and model saved")
def state_and_model_saved(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    trainer.save_state()
    trainer.save_model(str(place.path / "model"))
    return seen(place, trainer, output)


@WAYS.way("a model saved by a callback")
def a_model_saved_by_a_callback(place: Place) -> Any:
    def save(**_: Any) -> None:
        box[0].save_model(str(place.path / "model"))
        box[0].save_state()

    box = [make(place, after=(At("on_epoch_end", save),))]
    output = box[0].train()
    return seen(place, box.pop(), output)


@WAYS.way("a model card")
def a_model_card(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    returned = trainer.create_model_card(model_name="tiny", tags=["one"], dataset="numbers")
    card = (place.path / "trainer" / "README.md").read_text()
    place.seen.metrics["emissions in the card"] = "co2_eq_emissions" in card or not place.measured
    return seen(place, trainer, output, returned)


@WAYS.way("a model card before the training")
def a_model_card_before(place: Place) -> Any:
    trainer = make(place)
    Path(trainer.args.output_dir).mkdir(exist_ok=True)
    trainer.create_model_card(model_name="tiny")
    return seen(place, trainer, (place.path / "trainer" / "README.md").read_text())


@WAYS.way("a model card into a directory that is not there")
def a_model_card_nowhere(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    shutil.rmtree(trainer.args.output_dir, ignore_errors=True)
    found = attempt(trainer.create_model_card)
    return seen(place, trainer, output, found[0] if isinstance(found, list) else found)


@WAYS.way("trackers ended")
def trackers_ended(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    if hasattr(trainer, "end"):
        trainer.end()
    return seen(place, trainer, output, trainer.evaluate())

"""The callback added and removed."""

from typing import Any

from transformers import Trainer, TrainerCallback
from upstream.harness import Boom, Place
from upstream.transformers_ways.trainers import (
    WAYS,
    At,
    FailingNet,
    Samples,
    attempt,
    make,
    runs_of_ours,
    seen,
)


def removed(trainer: Any, place: Place, how: str, by: str) -> list[Any]:
    """Take our callbacks out; return whether those that came back were ours."""
    method = getattr(trainer, f"{how}_callback")
    results = [method(type(one) if by == "class" else one) for one in place.callbacks]
    if how == "pop":
        assert results == place.callbacks
    return results


def _register_removals(how: str, by: str) -> None:
    @WAYS.way(f"{how} by {by} before the training")
    def before(place: Place) -> Any:
        trainer = make(place, eval_strategy="epoch")
        removed(trainer, place, how, by)
        runs = runs_of_ours()
        results = [trainer.train(), trainer.evaluate(), trainer.predict(Samples(4))]
        return seen(place, trainer, results, runs_of_ours() - runs)

    @WAYS.way(f"{how} by {by} after the training")
    def after(place: Place) -> Any:
        trainer = make(place, eval_strategy="epoch")
        first = trainer.train()
        removed(trainer, place, how, by)
        runs = runs_of_ours()
        results = [trainer.evaluate(), trainer.predict(Samples(4)), trainer.train()]
        return seen(place, trainer, first, results, runs_of_ours() - runs)

    @WAYS.way(f"{how} by {by} within the training")
    def within(place: Place) -> Any:
        class Own(Trainer):
            def training_step(self, *args: Any, **kwargs: Any) -> Any:
                if self.state.global_step == 3 and not self.__dict__.get("done"):
                    self.done = True
                    removed(self, place, how, by)
                return super().training_step(*args, **kwargs)

        trainer = make(place, kind=Own, eval_strategy="epoch")
        first = trainer.train()
        runs = runs_of_ours()
        results = [trainer.evaluate(), trainer.predict(Samples(4)), trainer.train()]
        return seen(place, trainer, first, results, runs_of_ours() - runs)


for _how in ("remove", "pop"):
    for _by in ("class", "instance"):
        _register_removals(_how, _by)


@WAYS.way("removed and freed")
def removed_and_freed(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    removed(trainer, place, "remove", "instance")
    return seen(place, trainer, output)


@WAYS.way("removed from one Trainer, kept in another")
def removed_from_one(place: Place) -> Any:
    one, other = make(place), make(place)
    removed(one, place, "remove", "instance")
    return seen(place, one, one.train(), other.train(), one.evaluate(), other.evaluate())


@WAYS.way("added later")
def added_later(place: Place) -> Any:
    trainer = make(place, ours=[], eval_strategy="epoch")
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("added between two trainings")
def added_between(place: Place) -> Any:
    trainer = make(place, ours=[], eval_strategy="epoch")
    first = trainer.train()
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, first, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("added later and a training that fails")
def added_later_and_fails(place: Place) -> Any:
    trainer = make(place, ours=[], model=FailingNet(3, Boom("in a step")))
    for callback in place.callbacks:
        trainer.add_callback(callback)
    return seen(place, trainer, attempt(trainer.train), trainer.train())


@WAYS.way("added within a training")
def added_within(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 3:
                for callback in place.callbacks:
                    if callback not in self.callback_handler.callbacks:
                        self.add_callback(callback)
            return super().training_step(*args, **kwargs)

    trainer = make(place, ours=[], kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the class instead of an instance")
def the_class_instead(place: Place) -> Any:
    trainer = make(place, ours=[type(one) for one in place.callbacks], eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the class added later")
def the_class_added_later(place: Place) -> Any:
    trainer = make(place, ours=[])
    for callback in place.callbacks:
        trainer.add_callback(type(callback))
    return seen(place, trainer, trainer.train())


@WAYS.way("two of the same class")
def two_of_the_same_class(place: Place) -> Any:
    ours = [*place.callbacks, *place.new_callbacks()]
    trainer = make(place, ours=ours, eval_strategy="epoch", save_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("the same instance twice")
def the_same_instance_twice(place: Place) -> Any:
    trainer = make(place, ours=[*place.callbacks, *place.callbacks], eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


class Leaves(TrainerCallback):
    """Removes itself at the end of a training, for which the Trainer skips who comes next."""

    trainer: Any = None

    def on_train_end(self, *args: Any, **_: Any) -> None:
        self.trainer.remove_callback(self)
        del self.trainer


@WAYS.way("a callback behind ours that leaves")
def a_callback_behind_that_leaves(place: Place) -> Any:
    leaves = Leaves()
    trainer = make(place, after=(leaves,))
    leaves.trainer = trainer
    output = trainer.train()
    return seen(place, trainer, output, trainer.train())


@WAYS.way("a callback ahead of ours that leaves")
def a_callback_ahead_that_leaves(place: Place) -> Any:
    leaves = Leaves()
    trainer = make(place, before=(leaves,))
    leaves.trainer = trainer
    output = trainer.train()
    trainer.recorder.events.clear()  # it is the one that is skipped where ours are not
    return seen(place, trainer, output, trainer.evaluate())


@WAYS.way("a callback that takes ours out at the end")
def a_callback_that_takes_ours_out(place: Place) -> Any:
    def take(**_: Any) -> None:
        removed(box[0], place, "remove", "instance")

    box = [make(place, after=(At("on_train_end", take),))]
    output = box[0].train()
    box[0].recorder.events.clear()  # the Trainer skips who comes next
    return seen(place, box.pop(), output)

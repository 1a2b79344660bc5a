"""One callback in several Trainers, copies, and what is released."""

import copy
import inspect
import pickle
from typing import Any

import torch
from transformers import Trainer
from upstream.harness import Place
from upstream.transformers_ways.trainers import (
    WAYS,
    At,
    Net,
    Samples,
    attempt,
    make,
    of_others,
    plain,
    seen,
    weights_of,
)


class Deep(Trainer):
    """Notes how deep the stack is in steps and evaluations."""

    def note(self) -> None:
        self.__dict__.setdefault("depths", []).append(len(inspect.stack(0)))

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return super().training_step(*args, **kwargs)

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return super().prediction_step(*args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> Any:
        self.note()


@WAYS.way("one callback in two Trainers by turns")
def one_callback_by_turns(place: Place) -> Any:
    trainers = [make(place, kind=Deep, max_steps=1, eval_dataset=Samples(2)) for _ in range(2)]
    for _ in range(25):
        for trainer in trainers:
            trainer.train()
    for trainer in trainers:
        trainer.evaluate()
        trainer.evaluate()
        trainer.create_model_card()
        trainer.create_model_card()
    growth = [[b - a for a, b in zip(t.depths, t.depths[1:])] for t in trainers]
    trained = [depths[:24] for depths in growth]
    evaluated = [[t.depths[26] - t.depths[25], t.depths[28] - t.depths[27]] for t in trainers]
    held = [len(of_others(trainer)) for trainer in trainers]
    return seen(place, trainers[0], trained, evaluated, held, weights_of(trainers[1].model))


@WAYS.way("one callback in two Trainers one after the other")
def one_callback_in_two(place: Place) -> Any:
    one = make(place, eval_strategy="epoch")
    first = one.train()
    other = make(place, eval_strategy="epoch")
    return seen(place, one, first, other.train(), one.evaluate(), other.evaluate())


@WAYS.way("one callback in many Trainers")
def one_callback_in_many(place: Place) -> Any:
    outputs = [make(place, max_steps=1).train() for _ in range(10)]
    return plain(outputs)


@WAYS.way("a Trainer made but never used")
def a_trainer_never_used(place: Place) -> Any:
    make(place)
    trainer = make(place)
    return seen(place, trainer, trainer.train())


@WAYS.way("a shallow copy trains its own model")
def a_shallow_copy(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    before = weights_of(trainer.model)
    other = copy.copy(trainer)
    other.model = other.model_wrapped = Net()
    other.optimizer = other.lr_scheduler = None
    output = other.train()
    after = weights_of(trainer.model)
    untouched = all(torch.equal(before[name], after[name]) for name in before)
    return seen(place, other, output, other.evaluate(), untouched, other.state.global_step)


@WAYS.way("a deep copy")
def a_deep_copy(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    other = copy.deepcopy(trainer)
    output = other.train()
    return seen(place, other, output, other.evaluate(), weights_of(trainer.model))


@WAYS.way("a deep copy after the training")
def a_deep_copy_after(place: Place) -> Any:
    trainer = make(place)
    trainer.train()
    other = attempt(copy.deepcopy, trainer)
    if isinstance(other, list):
        return seen(place, trainer, other)
    return seen(place, other, other.train(), weights_of(trainer.model))


@WAYS.way("a deep copy within the training")
def a_deep_copy_within(place: Place) -> Any:
    copies: list[Any] = []

    def copied(**_: Any) -> None:
        copies.append(copy.deepcopy(box[0].model))
        copies.append(copy.deepcopy(box[0].state))

    box = [make(place, after=(At("on_step_end", copied, step=3),))]
    output = box[0].train()
    return seen(place, box.pop(), output, weights_of(copies[0]), copies[1].global_step)


@WAYS.way("a pickled Trainer")
def a_pickled_trainer(place: Place) -> Any:
    trainer = make(place)
    found = attempt(pickle.dumps, trainer)
    kind = "bytes" if isinstance(found, bytes) else found[0]
    return seen(place, trainer, trainer.train(), kind)


@WAYS.way("a model pickled after the training")
def a_pickled_model(place: Place) -> Any:
    trainer = make(place)
    output = trainer.train()
    return seen(place, trainer, output, weights_of(pickle.loads(pickle.dumps(trainer.model))))


@WAYS.way("a Trainer deleted after its training")
def a_trainer_deleted(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    output = trainer.train()
    optimizer = trainer.optimizer
    place.watch(optimizer=optimizer)
    weights = weights_of(trainer.model)
    del trainer, optimizer
    return weights, plain([output])


@WAYS.way("a Trainer deleted before its training")
def a_trainer_deleted_before(place: Place) -> Any:
    make(place)
    return None


@WAYS.way("a Trainer deleted after an evaluation")
def a_trainer_deleted_after_an_evaluation(place: Place) -> Any:
    return plain(make(place).evaluate())


@WAYS.way("a model replaced after the training")
def a_model_replaced(place: Place) -> Any:
    trainer = make(place)
    first = trainer.train()
    trainer.model = trainer.model_wrapped = Net()
    trainer.optimizer = trainer.lr_scheduler = None
    return seen(place, trainer, first, trainer.train())

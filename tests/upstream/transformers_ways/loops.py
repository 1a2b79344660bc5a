"""Limits, loops and data."""

import contextlib
import copy
import io
import threading
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from upstream.harness import Place
from upstream.transformers_ways.trainers import (
    BATCH,
    SAMPLES,
    WAYS,
    At,
    LengthRaises,
    Samples,
    Stream,
    Tokens,
    attempt,
    flagging,
    language_model,
    make,
    padded,
    seen,
)

_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "one epoch": {"num_train_epochs": 1},
    "steps": {"max_steps": 5},
    "a part of an epoch": {"num_train_epochs": 0.5},
    "an epoch and a half": {"num_train_epochs": 1.5},
    "a log at every step": {"logging_strategy": "steps", "logging_steps": 1},
    "a log at every fraction": {"logging_strategy": "steps", "logging_steps": 0.3},
    "a log at the first step": {"logging_strategy": "steps", "logging_first_step": True},
    "no logs": {"logging_strategy": "no"},
    "evaluation at each epoch": {"eval_strategy": "epoch"},
    "evaluation in steps": {"eval_strategy": "steps", "eval_steps": 4},
    "evaluation on start": {"eval_strategy": "epoch", "eval_on_start": True},
    "evaluation after a delay": {"eval_strategy": "epoch", "eval_delay": 1},
    "loss of predictions only": {"eval_strategy": "epoch", "prediction_loss_only": True},
    "accumulated predictions": {"eval_strategy": "epoch", "eval_accumulation_steps": 1},
    "checkpoints at each epoch": {"save_strategy": "epoch"},
    "checkpoints in steps": {"save_strategy": "steps", "save_steps": 4},
    "a limit of checkpoints": {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1},
    "checkpoints of the model only": {"save_strategy": "epoch", "save_only_model": True},
    "checkpoints and evaluations": {"save_strategy": "epoch", "eval_strategy": "epoch"},
    "the best checkpoint at the end": {
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "num_train_epochs": 3,
        "learning_rate": 1.0,
    },
    "the best by a metric": {
        "save_strategy": "steps",
        "eval_strategy": "steps",
        "save_steps": 4,
        "eval_steps": 4,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
        "save_total_limit": 1,
    },
    "checkpoints of the best only": {
        "save_strategy": "best",
        "eval_strategy": "epoch",
        "metric_for_best_model": "loss",
        "load_best_model_at_end": True,
        "num_train_epochs": 3,
    },
    "gradient accumulation": {"gradient_accumulation_steps": 3},
    "accumulation that does not divide": {"gradient_accumulation_steps": 4},
    "the last batch dropped": {"per_device_train_batch_size": 5, "dataloader_drop_last": True},
    "no clipping": {"max_grad_norm": 0.0},
    "warm-up": {"warmup_steps": 3},
    "a cosine": {"lr_scheduler_type": "cosine"},
    "cosine with restarts": {
        "lr_scheduler_type": "cosine_with_restarts",
        "lr_scheduler_kwargs": {"num_cycles": 2},
    },
    "a rate that falls on a plateau": {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "eval_strategy": "epoch",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.1},
        "metric_for_best_model": "loss",
        "num_train_epochs": 4,
        "learning_rate": 1.0,
    },
    "stochastic gradient descent": {"optim": "sgd"},
    "bfloat16": {"bf16": True, "eval_strategy": "epoch"},
    "a seed for the data": {"data_seed": 11},
    "tokens counted": {"include_num_input_tokens_seen": True},
    "tokens counted with logs at each step": {
        "include_num_input_tokens_seen": True,
        "logging_strategy": "steps",
        "logging_steps": 1,
    },
    "memory in the metrics": {"skip_memory_metrics": False, "eval_strategy": "epoch"},
    "an empty cache": {"torch_empty_cache_steps": 2},
    "a worker that loads": {"dataloader_num_workers": 1, "num_train_epochs": 1},
    "no filter of nan": {"logging_nan_inf_filter": False},
    "columns kept": {"remove_unused_columns": False},
    "bars of progress": {"disable_tqdm": False, "eval_strategy": "epoch"},
}


def _register(name: str, options: dict[str, Any]) -> None:
    @WAYS.way(name)
    def with_options(place: Place) -> Any:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer = make(place, **options)
            output = trainer.train()
        # The Trainer's thread that watches memory ends on its own, a moment after the training.
        for thread in threading.enumerate():
            if "peak_monitor_func" in thread.name:
                thread.join(timeout=30)
        return seen(place, trainer, output)


for _name, _options in _OPTIONS.items():
    _register(_name, _options)


@WAYS.way("sequences grouped by length")
def sequences_grouped_by_length(place: Place) -> Any:
    fields = TrainingArguments.__dataclass_fields__
    old = "group_by_length" in fields
    grouping = {"group_by_length": True} if old else {"train_sampling_strategy": "group_by_length"}
    trainer = make(
        place,
        model=language_model(),
        train_dataset=Tokens(),
        eval_dataset=Tokens(),
        data_collator=padded,
        eval_strategy="epoch",
        **grouping,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("a stream with steps")
def a_stream_with_steps(place: Place) -> Any:
    trainer = make(place, train_dataset=Stream(), eval_dataset=Stream(), max_steps=8)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("a stream without steps raises")
def a_stream_without_steps_raises(place: Place) -> Any:
    return attempt(make, place, train_dataset=Stream())


@WAYS.way("a DataLoader of the user's")
def a_dataloader_of_the_users(place: Place) -> Any:
    class Own(Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Samples(), batch_size=3, shuffle=True)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a weighted sampler")
def a_weighted_sampler(place: Place) -> Any:
    class Own(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            weights = [1.0 + i for i in range(SAMPLES)]
            return torch.utils.data.WeightedRandomSampler(weights, 8)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("batches that are iterated only")
def batches_that_are_iterated_only(place: Place) -> Any:
    class Batches:
        """Neither a length nor a data set."""

        def __iter__(self) -> Any:
            return iter(torch.utils.data.DataLoader(Samples(), batch_size=BATCH))

    class Own(Trainer):
        def get_train_dataloader(self) -> Any:
            return Batches()

    trainer = make(place, kind=Own, max_steps=8)
    return seen(place, trainer, attempt(trainer.train))


@WAYS.way("a data set whose length raises")
def a_data_set_whose_length_raises(place: Place) -> Any:
    trainer = make(place, train_dataset=LengthRaises(), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a stream whose length raises")
def a_stream_whose_length_raises(place: Place) -> Any:
    class Unmeasured(Stream):
        def __len__(self) -> int:
            raise TypeError("no length")

    trainer = make(place, train_dataset=Unmeasured(), max_steps=8)
    return seen(place, trainer, trainer.train())


@WAYS.way("the length of the data set is not asked at every step")
def the_length_is_not_asked_at_every_step(place: Place) -> Any:
    class Counted(Samples):
        calls = 0

        def __len__(self) -> int:
            self.calls += 1
            return super().__len__()

    data = Counted()
    trainer = make(place, train_dataset=data, logging_steps=1)
    output = trainer.train()
    # A few times more are no harm; at each step would be, where the data set is slow.
    return seen(place, trainer, output, data.calls <= 24)


@WAYS.way("a data set of the package datasets")
def a_data_set_of_datasets(place: Place) -> Any:
    datasets = place.need("datasets")
    samples = [Samples()[i] for i in range(SAMPLES)]
    columns = {
        "x": [one["x"].tolist() for one in samples],
        "labels": [one["labels"].item() for one in samples],
        "unused": ["text"] * SAMPLES,
    }
    data = datasets.Dataset.from_dict(columns)
    trainer = make(place, train_dataset=data, eval_dataset=data, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("stopped by another callback")
def stopped_by_another_callback(place: Place) -> Any:
    stop = At("on_step_end", flagging(should_training_stop=True), step=3)
    trainer = make(place, after=(stop,), save_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("epochs cut short by another callback")
def epochs_cut_short(place: Place) -> Any:
    stop = At("on_step_end", flagging(should_epoch_stop=True), step=3)
    trainer = make(place, before=(stop,), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("evaluation asked for by another callback")
def evaluation_asked_for(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_evaluate=True), step=2, times=2)
    trainer = make(place, after=(ask,))
    return seen(place, trainer, trainer.train())


@WAYS.way("a log asked for by another callback")
def a_log_asked_for(place: Place) -> Any:
    ask = At("on_step_end", flagging(should_log=True), step=2, times=2)
    trainer = make(place, after=(ask,))
    return seen(place, trainer, trainer.train())


@WAYS.way("a step skipped by on_step_begin's control")
def a_control_returned_anew(place: Place) -> Any:
    def replace(control: Any, **_: Any) -> Any:
        return copy.copy(control)

    trainer = make(place, before=(At("on_step_begin", replace, times=9),), eval_strategy="epoch")
    return seen(place, trainer, trainer.train())

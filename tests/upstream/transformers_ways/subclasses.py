"""Trainers of the user's own."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Trainer
from upstream.harness import Place, Unavailable
from upstream.transformers_ways.trainers import (
    BATCH,
    OF_TRAINER,
    WAYS,
    Classes,
    ClassSamples,
    Net,
    Recorder,
    Samples,
    Tokens,
    checkpoints,
    language_model,
    make,
    must_hold_our_segment,
    padded,
    seen,
)


@WAYS.way("a loss that logs")
def a_loss_that_logs(place: Place) -> Any:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().compute_loss(model, inputs, *args, **kwargs)
            loss = found[0] if isinstance(found, tuple) else found
            self.log({"own_loss": loss.item()})
            return found

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a loss that logs names of ours")
def a_loss_that_logs_names_of_ours(place: Place) -> Any:
    class Own(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            logs = {"carbon_energy_kwh": 5.0, "carbon_power_w": 1.0}
            self.log(logs)
            self.logged = logs
            return super().compute_loss(model, inputs, *args, **kwargs)

    trainer = make(place, kind=Own)
    output = trainer.train()
    own = {name: trainer.logged[name] for name in ("carbon_energy_kwh", "carbon_power_w")}
    return seen(place, trainer, output, own)


@WAYS.way("a loss function given")
def a_loss_function_given(place: Place) -> Any:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        return (outputs["logits"] - labels).abs().mean()

    trainer = make(place, compute_loss_func=loss, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("log overridden with super")
def log_with_super(place: Place) -> Any:
    class Own(Trainer):
        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            logs["own"] = len(logs)
            super().log(logs, *args, **kwargs)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("log overridden with super and a copy")
def log_with_super_and_a_copy(place: Place) -> Any:
    class Own(Trainer):
        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            super().log({f"own_{name}": value for name, value in logs.items()}, *args, **kwargs)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("log overridden without super")
def log_without_super(place: Place) -> Any:
    class Own(Trainer):
        kept: list[Any]

        def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
            self.__dict__.setdefault("kept", []).append(dict(logs))

    trainer = make(place, kind=Own, eval_strategy="epoch")
    output = trainer.train()
    return seen(place, trainer, output, trainer.evaluate(), trainer.kept)


@WAYS.way("evaluate overridden with super")
def evaluate_with_super(place: Place) -> Any:
    class Own(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            metrics = super().evaluate(*args, **kwargs)
            metrics["eval_count"] = len(metrics)
            self.log({"eval_count": metrics["eval_count"]})
            return metrics

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("evaluate overridden without super")
def evaluate_without_super(place: Place) -> Any:
    class Own(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            self.model.eval()
            with torch.no_grad():
                batch = torch.utils.data.default_collate([Samples()[0], Samples()[1]])
                metrics = {"eval_loss": self.model(**batch)["loss"].item()}
            self.model.train()
            return metrics

    trainer = make(
        place,
        kind=Own,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model="loss",
        load_best_model_at_end=True,
    )
    return seen(place, trainer, trainer.evaluate(), trainer.train(), trainer.evaluate())


@WAYS.way("an evaluation loop of the user's")
def an_evaluation_loop(place: Place) -> Any:
    class Own(Trainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            output = super().evaluation_loop(*args, **kwargs)
            output.metrics["eval_own"] = 1.0
            return output

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("a prediction step of the user's")
def a_prediction_step(place: Place) -> Any:
    class Own(Trainer):
        def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss, logits, labels = super().prediction_step(model, inputs, False)
            return loss * 2, logits, labels

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.predict(Samples(4)))


@WAYS.way("train overridden with super")
def train_with_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            output = super().train(*args, **kwargs)
            self.log({"own_end": 1.0})
            return output._replace(training_loss=1.0)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("train overridden without super")
def train_without_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> float:
            optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
            for batch in self.get_train_dataloader():
                loss = self.model(**batch)["loss"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                self.log({"loss": loss.item()})
            return loss.item()

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("train that trains twice with super")
def train_twice_with_super(place: Place) -> Any:
    class Own(Trainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            return [super().train(*args, **kwargs), super().train(*args, **kwargs)]

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a training step with super")
def a_training_step_with_super(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            for parameter in self.model.parameters():
                parameter.grad.mul_(0.5)
            return loss

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a training step without super")
def a_training_step_without_super(place: Place) -> Any:
    class Own(Trainer):
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = model(**self._prepare_inputs(inputs))["loss"]
            self.accelerator.backward(loss)
            return loss.detach()

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("an optimizer created by the subclass")
def an_optimizer_created(place: Place) -> Any:
    class Own(Trainer):
        def create_optimizer(self, *_: Any) -> Any:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
            return self.optimizer

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train())


@WAYS.way("a scheduler created with super")
def a_scheduler_created(place: Place) -> Any:
    class Own(Trainer):
        def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
            self.created = True
            return super().create_scheduler(*args, **kwargs)

    trainer = make(place, kind=Own)
    return seen(place, trainer, trainer.train(), trainer.created)


@WAYS.way("optimizer and scheduler given")
def optimizer_and_scheduler_given(place: Place) -> Any:
    torch.manual_seed(7)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    place.watch(optimizer=optimizer)
    trainer = make(place, model=model, optimizers=(optimizer, scheduler))
    return seen(place, trainer, trainer.train())


@WAYS.way("an optimizer's class given")
def an_optimizers_class_given(place: Place) -> Any:
    if "optimizer_cls_and_kwargs" not in OF_TRAINER:
        raise Unavailable("this version takes no optimizer's class")
    trainer = make(place, optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 0.1}))
    return seen(place, trainer, trainer.train())


@WAYS.way("a checkpoint saved with super")
def a_checkpoint_saved_with_super(place: Place) -> Any:
    class Own(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super()._save_checkpoint(*args, **kwargs)
            step = self.state.global_step
            (Path(self.args.output_dir) / f"checkpoint-{step}" / "own.txt").write_text(str(step))

    trainer = make(place, kind=Own, save_strategy="epoch")
    output = trainer.train()
    for one in checkpoints(place):
        must_hold_our_segment(place, one)
    return seen(place, trainer, output)


@WAYS.way("a checkpoint saved without super")
def a_checkpoint_saved_without_super(place: Place) -> Any:
    class Own(Trainer):
        def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            path = Path(self.args.output_dir)
            path.mkdir(exist_ok=True)
            (path / "own.txt").write_text(str(self.state.global_step))

    trainer = make(place, kind=Own, save_strategy="epoch")
    return seen(place, trainer, trainer.train())


@WAYS.way("a Trainer with slots of its own names")
def a_trainer_that_counts_its_attributes(place: Place) -> Any:
    class Own(Trainer):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in ("train", "evaluate", "predict"):
                raise AttributeError(f"{name} is read-only")
            super().__setattr__(name, value)

    trainer = make(place, kind=Own, eval_strategy="epoch")
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("Seq2SeqTrainer")
def seq2seq_trainer(place: Place) -> Any:
    torch.manual_seed(7)
    config = transformers.T5Config(
        vocab_size=13,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    trainer = make(
        place,
        kind=transformers.Seq2SeqTrainer,
        model=transformers.T5ForConditionalGeneration(config),
        train_dataset=Tokens(equal=True),
        eval_dataset=Tokens(equal=True),
        data_collator=padded,
        args_kind=transformers.Seq2SeqTrainingArguments,
        predict_with_generate=True,
        generation_max_length=5,
        eval_strategy="epoch",
        num_train_epochs=1,
    )
    return seen(place, trainer, trainer.train(), trainer.predict(Tokens(equal=True), max_length=4))


@WAYS.way("TRL's SFTTrainer")
def sft_trainer(place: Place) -> Any:
    trl = place.need("trl")
    datasets = place.need("datasets")
    tokenizers = place.need("tokenizers")
    words = {"<unk>": 0, "<pad>": 1, "</s>": 2, "one": 3, "two": 4, "three": 5}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    lines = datasets.Dataset.from_dict({"text": ["one two three", "two three", "three one"] * 3})
    recorder = Recorder()
    trainer = trl.SFTTrainer(
        model=language_model(),
        args=trl.SFTConfig(
            output_dir=str(place.path / "sft"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            logging_steps=1,
            save_strategy="epoch",
            eval_strategy="epoch",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            dataset_num_proc=None,
            max_length=8,
        ),
        train_dataset=lines,
        eval_dataset=lines,
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
        ),
        callbacks=[*place.callbacks, recorder],
    )
    trainer.recorder = recorder
    output = trainer.train()
    must_hold_our_segment(place, checkpoints(place, "sft")[-1])
    return seen(place, trainer, output, trainer.evaluate())


@WAYS.way("label smoothing")
def label_smoothing(place: Place) -> Any:
    torch.manual_seed(7)
    data = {"train_dataset": ClassSamples(), "eval_dataset": ClassSamples(4)}
    trainer = make(
        place, model=Classes(), label_smoothing_factor=0.1, eval_strategy="epoch", **data
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("noise on embeddings")
def noise_on_embeddings(place: Place) -> Any:
    trainer = make(
        place,
        model=language_model(),
        train_dataset=Tokens(equal=True),
        neftune_noise_alpha=1.0,
        data_collator=padded,
    )
    return seen(place, trainer, trainer.train())


@WAYS.way("a dictionary of arguments later changed")
def arguments_later_changed(place: Place) -> Any:
    trainer = make(place)
    first = trainer.train()
    trainer.args.num_train_epochs = 1
    trainer.args.learning_rate = 0.1
    return seen(place, trainer, first, trainer.train())

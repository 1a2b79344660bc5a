"""The callback in the Hugging Face Trainer."""
# ruff: noqa: E402 - without the framework, nothing below can be imported

import copy
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")
huggingface_hub = pytest.importorskip("huggingface_hub")

from adapters.shipped_contract import ShippedContract, ShippedFramework, bytes_of

from carbon_callbacks._training.metrics import PREFIX
from carbon_callbacks.testing import (
    EPOCHS,
    TOTALS,
    TRAIN_BATCH_S,
    TRAIN_BATCHES,
    VALIDATE_BATCH_S,
    VALIDATE_BATCHES,
    WATTS,
    WHOLE_EPOCH_KWH,
    Boom,
    Fault,
    Outcome,
    clockwork,
    nothing,
    raising,
    receipts,
    rows,
    threads_of_ours,
)
from carbon_callbacks.transformers import EmissionsCallback
from carbon_core.outputs import card_text
from carbon_core.outputs.receipt import segment_data

OURS = {"carbon_energy_kwh", "carbon_emissions_kg", "carbon_power_w"}


class Samples(torch.utils.data.Dataset):
    """Pairs of a few numbers."""

    def __init__(self, count: int, on_batch: Any = nothing) -> None:
        numbers = torch.arange(count * 4, dtype=torch.float32).reshape(count, 4) / count
        self._samples, self._on_batch = numbers.sin(), on_batch

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        self._on_batch("load")
        sample = self._samples[index]
        return {"x": sample, "labels": sample.sum()}


class Model(torch.nn.Module):
    """A regression with a layer that draws random numbers."""

    def __init__(self, on_batch: Any) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        self.config = transformers.PretrainedConfig()
        self._on_batch = on_batch

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        self._on_batch("train" if self.training else "validate")
        logits = self.net(x).squeeze(1)
        return {"loss": (logits - labels).square().mean(), "logits": logits}


class TransformersFramework(ShippedFramework):
    """The Trainer with a model of 49 numbers."""

    module = "carbon_callbacks.transformers"
    package = "transformers"
    extra = "transformers"
    # The Trainer ends an epoch before it evaluates.
    epoch_s = TRAIN_BATCHES * TRAIN_BATCH_S

    def trainer(
        self, *callbacks: Any, on_batch: Any = nothing, batches: int = TRAIN_BATCHES, **options: Any
    ) -> Any:
        torch.manual_seed(7)
        base: dict[str, Any] = {
            "output_dir": "trainer",
            "num_train_epochs": EPOCHS,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 2,
            "eval_strategy": "epoch",
            "logging_strategy": "epoch",
            "save_strategy": "no",
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "seed": 7,
        }
        kind = options.pop("kind", transformers.Trainer)
        return kind(
            model=Model(on_batch),
            args=transformers.TrainingArguments(**{**base, **options}),
            train_dataset=Samples(2 * batches, on_batch),
            eval_dataset=Samples(2 * VALIDATE_BATCHES),
            callbacks=list(callbacks),
        )

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        trainer = self.trainer(
            *callbacks, on_batch=on_batch, batches=batches, num_train_epochs=epochs
        )
        trainer.train()
        weights = bytes_of(trainer.model.state_dict())
        return Outcome(weights, trainer, logged_epochs(trainer))

    def train_again(self, outcome):
        outcome.trainer.train()

    def in_hook(self, act):
        class InHook(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
                if state.global_step == 2:
                    act()

        return InHook()


def ours_in(entry: dict[str, Any]) -> dict[str, float]:
    """Return the figures of ours in an entry of the history."""
    return {key: value for key, value in entry.items() if "carbon_" in key}


def entries_with(trainer: Any, key: str) -> list[dict[str, Any]]:
    """Return the entries of the history that have a key."""
    return [entry for entry in trainer.state.log_history if key in entry]


def logged_epochs(trainer: Any) -> list[dict[str, float]]:
    """Return what was logged of ours at the end of each epoch."""
    logged = [own for entry in entries_with(trainer, "loss") if (own := ours_in(entry))]
    return [{key.removeprefix(PREFIX): own[key] for key in own} for own in logged]


class Recorder(transformers.TrainerCallback):
    """Remembers the hooks that it was called for."""

    def __init__(self) -> None:
        self.hooks: list[str] = []

    def on_init_end(self, *args: Any, **more: Any) -> None:
        self.hooks.append("on_init_end")

    def on_train_begin(self, *args: Any, **more: Any) -> None:
        self.hooks.append("on_train_begin")


class TwoStepsAtOnce(transformers.Trainer):
    """Loads each batch of four for two steps, as TRL's trainers do that generate completions."""

    def get_train_dataloader(self) -> Any:
        numbers = range(len(self.train_dataset))
        twice = [one for at in numbers[::4] for one in 2 * list(numbers[at : at + 4])]
        batches = torch.utils.data.BatchSampler(twice, 4, drop_last=False)
        return torch.utils.data.DataLoader(self.train_dataset, batch_sampler=batches)

    def _prepare_inputs(self, inputs: Any) -> Any:
        at = 2 * (self.state.global_step % 2) if self.model.training else 0
        prepared = super()._prepare_inputs(inputs)
        return {name: value[at : at + 2] for name, value in prepared.items()}


class TestTransformers(ShippedContract):
    framework = TransformersFramework()

    # --- its logs ------------------------------------------------------------------------------

    def test_history_has_the_final_totals(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.train()
        (last,) = entries_with(trainer, "train_runtime")
        assert last["carbon_energy_kwh"] == pytest.approx(callback.report.energy_kwh.value)
        assert last["carbon_emissions_kg"] == pytest.approx(callback.report.emissions_kg.value)

    def test_names_have_no_slashes_and_values_are_floats(self, machine):
        trainer = self.framework.train(EmissionsCallback()).trainer
        for entry in trainer.state.log_history:
            assert not [key for key in entry if "/" in key]
            assert all(type(value) is float for value in ours_in(entry).values())

    def test_an_evaluation_has_what_it_took_itself(self, machine):
        trainer = self.framework.train(
            EmissionsCallback(), on_batch=clockwork(machine.clock)
        ).trainer
        evaluations = entries_with(trainer, "eval_loss")
        assert len(evaluations) == EPOCHS
        took_kwh = WATTS * VALIDATE_BATCHES * VALIDATE_BATCH_S / 3.6e6
        for entry in evaluations:
            assert entry["eval_carbon_energy_kwh"] == pytest.approx(took_kwh)
            assert ours_in(entry).keys() == {"eval_carbon_energy_kwh", "eval_carbon_emissions_kg"}

    def test_an_evaluation_alone_is_a_run_of_its_own(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.evaluate()
        (metrics,) = entries_with(trainer, "eval_loss")
        took_kwh = WATTS * VALIDATE_BATCHES * VALIDATE_BATCH_S / 3.6e6
        assert metrics["eval_carbon_energy_kwh"] == pytest.approx(took_kwh)
        assert metrics["eval_carbon_energy_kwh"] == pytest.approx(callback.report.energy_kwh.value)
        assert {phase.name for phase in callback.report.phases} == {"setup", "evaluate"}

    def test_its_prefix_is_that_of_the_evaluation(self, machine):
        callback = EmissionsCallback(return_metrics=True)
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        assert trainer.evaluate(metric_key_prefix="test")["test_carbon_energy_kwh"] > 0
        assert trainer.predict(trainer.eval_dataset).metrics["test_carbon_energy_kwh"] > 0
        assert [receipt["status"] for receipt in receipts()] == ["completed", "completed"]

    def test_evaluations_of_several_sets_have_a_figure_each(self, machine):
        on_batch = clockwork(machine.clock)
        trainer = self.framework.trainer(callback := EmissionsCallback(), on_batch=on_batch)
        trainer.eval_dataset = {"one": Samples(4), "two": Samples(8)}
        trainer.train()
        (one, two) = (
            entries_with(trainer, f"eval_{name}_loss")[0][f"eval_{name}_carbon_energy_kwh"]
            for name in ("one", "two")
        )
        assert two == pytest.approx(2 * one)
        assert callback.report.status == "completed"
        trainer.evaluate()
        one, two = (
            entries_with(trainer, key)[-1][key]
            for key in ("eval_one_carbon_energy_kwh", "eval_two_carbon_energy_kwh")
        )
        assert callback.report.energy_kwh.value == pytest.approx(one + two)

    def test_an_evaluation_that_raises_is_closed(self):
        trainer = self.framework.trainer(EmissionsCallback(), on_batch=Fault("validate", Boom()))
        with pytest.raises(Boom):
            trainer.evaluate(eval_dataset=Samples(8))
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()

    def test_the_last_log_has_the_energy_of_each_phase(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.train()
        (last,) = entries_with(trainer, "train_runtime")
        phases = {phase.name: phase.joules / 3.6e6 for phase in callback.report.phases}
        for name in ("setup", "train", "validate"):
            assert last[f"carbon_phase_{name}_energy_kwh"] == pytest.approx(phases[name])

    @pytest.mark.parametrize("tqdm", [False, True], ids=["printed", "beside a bar"])
    def test_the_line_of_an_entry_shows_energy_and_emissions(self, tqdm, machine, capsys):
        trainer = self.framework.trainer(
            EmissionsCallback(log_metrics="all"),
            on_batch=clockwork(machine.clock),
            disable_tqdm=not tqdm,
        )
        trainer.train()
        said = capsys.readouterr()
        lines = [line for line in (said.out + said.err).splitlines() if "'epoch': " in line]
        entries = [entry for entry in trainer.state.log_history if "epoch" in entry]
        assert len(lines) == len(entries) == 2 * EPOCHS + 1
        for line, entry in zip(lines, entries):
            prefix = "eval_" if "eval_loss" in entry else ""
            shown = set(re.findall(r"'(\w*carbon_\w+)'", line))
            assert shown == {f"{prefix}carbon_energy_kwh", f"{prefix}carbon_emissions_kg"}
            assert shown <= entry.keys()
        assert len(ours_in(entries[-1])) > 20

    def test_the_line_of_an_entry_may_show_nothing_of_ours(self, machine, capsys):
        trainer = self.framework.trainer(
            EmissionsCallback(progress_bar=False), on_batch=clockwork(machine.clock)
        )
        trainer.train()
        lines = [one for one in capsys.readouterr().out.splitlines() if "'epoch': " in one]
        assert len(lines) == 2 * EPOCHS + 1
        assert not [line for line in lines if "carbon" in line]
        assert all(ours_in(entry) for entry in trainer.state.log_history)

    def test_at_the_end_the_totals_are_logged_unless_fewer_metrics_are_chosen(self, machine):
        def last(**settings: Any) -> set[str]:
            on_batch = clockwork(machine.clock)
            trainer = self.framework.train(EmissionsCallback(**settings), on_batch=on_batch).trainer
            (entry,) = entries_with(trainer, "train_runtime")
            return {key.removeprefix(PREFIX) for key in ours_in(entry)}

        assert last(log_metrics="minimal") == {"energy_kwh", "emissions_kg"}
        assert last(log_metrics=["power_w"]) == {"power_w"}
        standard = last()
        assert standard >= TOTALS - {"cpu_energy_kwh"}
        assert "phase_train_energy_kwh" in standard
        assert not {"forecast_energy_low_kwh", "forecast_left_s"} & standard

    @pytest.mark.parametrize("each", [1, 2, TRAIN_BATCHES, 3])
    def test_the_energy_of_an_epoch_stands_beside_that_epoch(self, each, machine):
        seconds = iter([1.0] * TRAIN_BATCHES + [2.0] * TRAIN_BATCHES + [5.0] * TRAIN_BATCHES)

        def on_batch(what: str) -> None:
            machine.clock.advance(next(seconds) if what == "train" else 0.0)

        trainer = self.framework.trainer(
            EmissionsCallback(),
            on_batch=on_batch,
            num_train_epochs=3,
            logging_strategy="steps",
            logging_steps=each,
            eval_strategy="no",
        )
        trainer.train()
        entries = entries_with(trainer, "loss")
        assert len(entries) == 3 * TRAIN_BATCHES // each
        for entry in entries:
            whole, steps = divmod(entry["step"] - 1, TRAIN_BATCHES)
            kwh = WATTS * (1.0, 2.0, 5.0)[whole] * (steps + 1) / 3.6e6
            assert entry["carbon_epoch_energy_kwh"] == pytest.approx(kwh)

    def test_the_forecast_before_the_last_evaluation_is_no_certainty(self, machine):
        seconds = {"train": 1.0, "validate": 0.1}
        trainer = self.framework.trainer(
            callback := EmissionsCallback(log_metrics="all", force_carbon_intensity_g_co2e_kwh=100),
            on_batch=lambda what: machine.clock.advance(seconds.get(what, 0.0)),
            num_train_epochs=3,
        )
        trainer.train()
        last = entries_with(trainer, "loss")[-1]
        total_kwh = callback.report.energy_kwh.value
        low, high = (last[f"carbon_forecast_energy_{end}_kwh"] for end in ("low", "high"))
        assert low < total_kwh < high
        assert last["carbon_forecast_energy_kwh"] > last["carbon_energy_kwh"]
        assert last["carbon_forecast_left_s"] > 0

    def test_an_evaluation_logs_what_is_chosen(self, machine):
        callback = EmissionsCallback(log_metrics=["emissions_kg", "power_w"])
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.evaluate()
        assert ours_in(trainer.state.log_history[-1]).keys() == {"eval_carbon_emissions_kg"}

    def test_log_after_training_is_left_as_it_is(self, machine):
        trainer = self.framework.train(EmissionsCallback()).trainer
        trainer.log({"accuracy": 0.5})
        assert not ours_in(trainer.state.log_history[-1])

    def test_tensorboard_gets_the_totals(self, machine, place):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        callback = EmissionsCallback()
        trainer = self.framework.trainer(
            callback, on_batch=clockwork(machine.clock), report_to=["tensorboard"]
        )
        trainer.train()
        (events,) = (place / "trainer").rglob("events.out.tfevents.*")
        accumulator = EventAccumulator(str(events)).Reload()
        tags = set(accumulator.Tags()["scalars"])
        assert {f"train/{name}" for name in OURS | {"carbon_epoch_energy_kwh"}} <= tags
        assert {"eval/carbon_energy_kwh", "eval/carbon_emissions_kg"} <= tags
        values = [event.value for event in accumulator.Scalars("train/carbon_energy_kwh")]
        assert values == sorted(values)
        assert values[-1] == pytest.approx(callback.report.energy_kwh.value)

    def test_history_is_saved_with_the_state(self, machine, place):
        trainer = self.framework.trainer(EmissionsCallback(), on_batch=clockwork(machine.clock))
        trainer.train()
        trainer.save_state()
        assert '"carbon_energy_kwh"' in (place / "trainer" / "trainer_state.json").read_text()

    # --- before a training ---------------------------------------------------------------------

    def test_meters_are_found_by_a_training_before_it_begins(self, machine):
        seen = []

        class Early(transformers.TrainerCallback):
            def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
                seen.append(machine.runs)

        trainer = self.framework.trainer(Early(), EmissionsCallback())
        assert machine.runs == 0  # it may never train
        trainer.train()
        assert seen == [1]

    # --- its place among the callbacks ---------------------------------------------------------

    @pytest.mark.parametrize("index", [0, 1, 2, 3])
    def test_the_order_of_callbacks_stays_as_it_is(self, index):
        callback = EmissionsCallback()
        others: list[Any] = [Recorder(), Recorder(), Recorder()]
        trainer = self.framework.trainer(*others[:index], callback, *others[index:])
        given = [*others[:index], callback, *others[index:]]
        assert [one for one in trainer.callback_handler.callbacks if one in given] == given
        assert [other.hooks for other in others] == [["on_init_end"]] * 3

    def test_class_instead_of_an_instance_is_accepted(self):
        trainer = self.framework.trainer(EmissionsCallback)
        trainer.train()
        made = [type(one) for one in trainer.callback_handler.callbacks]
        assert made.count(EmissionsCallback) == 1
        assert len(rows()) == 1

    def test_callback_added_later_measures_and_adds_to_the_history(self, machine):
        trainer = self.framework.trainer(on_batch=clockwork(machine.clock))
        trainer.add_callback(callback := EmissionsCallback())
        trainer.train()
        assert len(logged_epochs(trainer)) == EPOCHS
        assert callback.report.window.joules > 0

    def test_two_callbacks_can_measure_one_training(self):
        callbacks = [EmissionsCallback(project_name=name) for name in ("one", "two")]
        self.framework.train(*callbacks)
        assert sorted(row["project_name"] for row in rows()) == ["one", "two"]

    # --- its phases ----------------------------------------------------------------------------

    def test_evaluation_in_steps_goes_back_to_training(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(
            callback,
            on_batch=clockwork(machine.clock),
            eval_strategy="steps",
            eval_steps=2,
            save_strategy="steps",
            save_steps=2,
        )
        trainer.train()
        phases = {phase.name: phase for phase in callback.report.phases}
        evaluations = EPOCHS * TRAIN_BATCHES // 2
        assert phases["validate"].count == evaluations
        assert phases["validate"].joules == pytest.approx(
            WATTS * evaluations * VALIDATE_BATCHES * VALIDATE_BATCH_S
        )
        assert phases["train"].joules == pytest.approx(WATTS * EPOCHS * TRAIN_BATCHES)
        assert phases["checkpoint"].count == evaluations

    def test_checkpoints_are_a_phase_of_their_own(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, eval_strategy="no", save_strategy="epoch")
        trainer.train()
        phases = {phase.name: phase for phase in callback.report.phases}
        assert phases["checkpoint"].count == EPOCHS
        assert "validate" not in phases

    def test_steps_without_evaluation_or_checkpoint_leave_no_mark(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, eval_strategy="no")
        seen: list[Any] = []
        real = callback._training.phase
        callback._training.phase = lambda name: (seen.append(name), real(name))[1]
        trainer.train()
        assert "validate" not in seen
        assert "checkpoint" not in seen
        assert seen.count("train") == EPOCHS

    # --- its model card ------------------------------------------------------------------------

    def card(self) -> Any:
        return huggingface_hub.ModelCard.load("trainer/README.md").data["co2_eq_emissions"]

    def test_the_card_has_the_emissions_in_grams_and_the_hub_s_library_reads_them(self, machine):
        callback = EmissionsCallback(country_iso_code="FRA")
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.train()
        trainer.create_model_card(model_name="digits")
        card = self.card()
        assert card["emissions"] == round(callback.report.emissions_kg.value * 1000, 4) > 0
        assert card["source"].startswith("carbon-callbacks ")
        assert card["training_type"] == "pre-training"
        assert card["geographical_location"] == "France"
        assert (
            "e-" not in (Path("trainer") / "README.md").read_text().partition("emissions:")[2][:12]
        )

    def test_a_place_that_nobody_knows_is_not_in_the_card(self, machine):
        trainer = self.framework.trainer(
            EmissionsCallback(geolocation="off"), on_batch=clockwork(machine.clock)
        )
        trainer.train()
        trainer.create_model_card(model_name="digits")
        assert self.card()["emissions"] > 0
        assert "geographical_location" not in self.card()

    def test_the_card_has_them_again_after_its_rewriting(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.train()
        trainer.create_model_card(model_name="digits", tags=["one"])
        first = self.card()
        trainer.create_model_card(model_name="digits", tags=["two"])
        assert self.card() == first
        text = (Path("trainer") / "README.md").read_text()
        assert "# digits" in text
        assert {"one", "two"} <= set(huggingface_hub.ModelCard(text).data.tags)

    def test_a_fine_tuned_model_is_called_so(self, machine):
        trainer = self.framework.trainer(EmissionsCallback(), on_batch=clockwork(machine.clock))
        trainer.train()
        trainer.model.config = transformers.PretrainedConfig(name_or_path="somebody/model")
        trainer.create_model_card(finetuned_from="somebody/model", tasks=[])
        assert self.card()["training_type"] == "fine-tuning"

    def test_a_card_before_any_training_is_the_trainer_s_own(self):
        trainer = self.framework.trainer(EmissionsCallback())
        trainer.create_model_card(model_name="digits")
        data = huggingface_hub.ModelCard.load("trainer/README.md").data
        assert "co2_eq_emissions" not in data.to_dict()

    def test_a_copied_trainer_is_measured_and_writes_a_card_of_its_own(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        other = copy.deepcopy(trainer)
        other.args.output_dir = "other"
        other.train()
        other.evaluate()
        other.save_model()
        other.create_model_card(model_name="digits")
        assert callback.report is None
        assert len(rows()) == 2
        assert "co2_eq_emissions" in (Path("other") / "README.md").read_text()

    def test_a_card_that_cannot_be_amended_is_told_of(self, machine, monkeypatch, caplog):
        trainer = self.framework.trainer(EmissionsCallback(), on_batch=clockwork(machine.clock))
        trainer.train()
        monkeypatch.setattr(card_text, "replace", raising(OSError("read-only")))
        trainer.create_model_card()
        assert (Path("trainer") / "README.md").exists()
        assert len([text for text in caplog.messages if "read-only" in text]) == 1

    def test_the_card_of_sentence_transformers_trainer_has_them_too(self, machine):
        st = pytest.importorskip("sentence_transformers")
        modules = pytest.importorskip("sentence_transformers.models")
        losses = pytest.importorskip("sentence_transformers.losses")
        datasets, tokenizers = pytest.importorskip("datasets"), pytest.importorskip("tokenizers")
        words = {"[UNK]": 0, "cat": 1, "dog": 2}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
        embedding = modules.StaticEmbedding(tokenizer, embedding_dim=4)
        model = st.SentenceTransformer(modules=[embedding], device="cpu")
        pairs = {"one": ["cat", "dog"] * 9, "other": ["dog", "dog"] * 9, "score": [0.0, 1.0] * 9}
        trainer = st.SentenceTransformerTrainer(
            model=model,
            args=st.SentenceTransformerTrainingArguments("trainer", use_cpu=True, report_to=[]),
            train_dataset=datasets.Dataset.from_dict(pairs),
            loss=losses.CosineSimilarityLoss(model),
            callbacks=[
                EmissionsCallback(),
                self.framework.in_hook(lambda: machine.clock.advance(60)),
            ],
        )
        trainer.train()
        trainer.create_model_card()
        assert self.card()["emissions"] > 0

    def test_the_command_writes_the_card_later(self, machine, capsys):
        from carbon_callbacks.cli import model_card

        callback = EmissionsCallback()
        trainer = self.framework.trainer(on_batch=clockwork(machine.clock))
        trainer.add_callback(callback)  # too late to be asked for a card
        trainer.train()
        trainer.create_model_card()
        model_card.run(Path("trainer"), receipt_path=None, training_type="fine-tuning")
        assert self.card()["emissions"] == round(callback.report.emissions_kg.value * 1000, 4)
        assert "trainer/README.md" in capsys.readouterr().out

    def test_an_evaluation_after_the_training_is_not_in_the_card(self, machine):
        from carbon_callbacks.cli import model_card

        callback = EmissionsCallback()
        trainer = self.framework.trainer(on_batch=clockwork(machine.clock))
        trainer.add_callback(callback)
        trainer.train()
        trainer.create_model_card()
        trained_kg = callback.report.emissions_kg.value
        trainer.evaluate()
        assert len(receipts()) == 2
        model_card.run(Path("trainer"), receipt_path=None, training_type="fine-tuning")
        assert self.card()["emissions"] == round(trained_kg * 1000, 4)

    # --- its ends ------------------------------------------------------------------------------

    def test_training_resumes_from_a_checkpoint(self):
        self.framework.trainer(EmissionsCallback(), save_strategy="epoch").train()
        trainer = self.framework.trainer(EmissionsCallback(), num_train_epochs=3)
        trainer.train(resume_from_checkpoint=True)
        assert trainer.state.epoch == 3
        assert [receipt["status"] for receipt in receipts()] == ["completed", "completed"]

    def fail_and_resume(self, machine: Any, one: Any, other: Any, **options: Any) -> Any:
        """Train until the second epoch raises, then on from the first one's checkpoint."""
        turn = clockwork(machine.clock)
        seen: list[str] = []

        def fail(what: str) -> None:
            turn(what)
            seen.append(what)
            if seen.count("train") == TRAIN_BATCHES + 2:
                raise Boom("second epoch")

        options = {"save_strategy": "epoch", "num_train_epochs": 3, **options}
        with pytest.raises(Boom), one:
            self.framework.trainer(one, on_batch=fail, **options).train()
        trainer = self.framework.trainer(other, on_batch=turn, **options)
        trainer.train(resume_from_checkpoint=True)
        assert trainer.state.epoch == 3
        return trainer

    def test_a_training_that_failed_and_resumed_adds_up_with_the_tail_after_its_checkpoint(
        self, machine
    ):
        one, other = EmissionsCallback(), EmissionsCallback()
        trainer = self.fail_and_resume(machine, one, other)
        first, second = one.report, other.report
        assert [segment.run_id for segment in second.earlier] == [first.run.run_id]
        assert second.training_kwh == first.energy_kwh.value + second.energy_kwh.value
        (last,) = entries_with(trainer, "train_runtime")
        assert last["carbon_all_starts_energy_kwh"] == pytest.approx(second.training_kwh)
        assert last["carbon_energy_kwh"] == pytest.approx(second.energy_kwh.value)
        assert receipts()[-1]["earlier_starts"] == [segment_data(first.segment)]

    def test_without_its_files_a_training_resumes_with_what_the_checkpoint_knows(self, machine):
        one, other = EmissionsCallback(output_dir="one"), EmissionsCallback(output_dir="two")
        self.fail_and_resume(machine, one, other)
        (kept,) = other.report.earlier
        epoch_kwh = WATTS * (TRAIN_BATCHES * TRAIN_BATCH_S + VALIDATE_BATCHES * VALIDATE_BATCH_S)
        assert kept.energy_kwh == pytest.approx(epoch_kwh / 3.6e6)
        assert kept.energy_kwh < one.report.energy_kwh.value

    def test_a_training_that_resumes_twice_counts_each_start_once(self, machine):
        callbacks = [EmissionsCallback() for _ in range(3)]
        self.fail_and_resume(machine, *callbacks[:2])
        trainer = self.framework.trainer(callbacks[2], save_strategy="epoch", num_train_epochs=4)
        trainer.train(resume_from_checkpoint=True)
        ids = [segment.run_id for segment in callbacks[2].report.segments]
        assert ids == [callback.report.run.run_id for callback in callbacks]

    def test_restoring_the_callbacks_states_finds_nothing_of_ours_to_restore(self, machine):
        one, other = EmissionsCallback(), EmissionsCallback()
        self.fail_and_resume(machine, one, other, restore_callback_states_from_checkpoint=True)
        assert len(other.report.earlier) == 1

    def test_a_training_that_begins_anew_continues_nothing(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, save_strategy="epoch")
        trainer.train()
        trainer.train()
        assert callback.report.earlier == ()

    @pytest.mark.parametrize("include", [True, False])
    def test_samples_and_tokens_for_the_energy(self, include, machine):
        callback = EmissionsCallback()
        options = {"include_num_input_tokens_seen": "all"} if include else {}
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock), **options)
        trainer.model.main_input_name = "x"
        trainer.train()
        (last,) = entries_with(trainer, "total_flos")
        samples = EPOCHS * TRAIN_BATCHES * 2
        kwh = callback.report.energy_kwh.value
        assert last["carbon_samples_per_kwh"] == pytest.approx(samples / kwh)
        assert last["carbon_j_per_sample"] == pytest.approx(kwh * 3.6e6 / samples)
        if include:
            numbers = 4  # of a sample, each of which the Trainer takes for a token
            assert last["carbon_tokens_per_kwh"] == pytest.approx(samples * numbers / kwh)
        else:
            assert "carbon_tokens_per_kwh" not in last

    def test_a_batch_that_is_loaded_for_several_steps_is_not_counted_at_each(self, machine):
        callback = EmissionsCallback()
        on_batch = clockwork(machine.clock)
        trainer = self.framework.trainer(callback, on_batch=on_batch, kind=TwoStepsAtOnce)
        trainer.train()
        (last,) = entries_with(trainer, "total_flos")
        samples = trainer.state.global_step * 2
        kwh = callback.report.energy_kwh.value
        assert last["carbon_samples_per_kwh"] == pytest.approx(samples / kwh)

    def test_hooks_may_get_other_arguments_than_those_of_the_trainer(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        others = SimpleNamespace(**vars(trainer.args))  # without properties, as SetFit's had been
        call_event = trainer.callback_handler.call_event
        trainer.callback_handler.call_event = lambda event, args, *more, **kwargs: call_event(
            event, others, *more, **kwargs
        )
        trainer.train()
        assert callback.report.energy_kwh.value == pytest.approx(EPOCHS * WHOLE_EPOCH_KWH)

    def test_resume_of_a_finished_training_ends_a_completed_run(self):
        self.framework.trainer(EmissionsCallback(), save_strategy="epoch").train()
        trainer = self.framework.trainer(EmissionsCallback(), save_strategy="epoch")
        trainer.train(resume_from_checkpoint=True)
        assert [receipt["status"] for receipt in receipts()] == ["completed", "completed"]
        assert not threads_of_ours()

    def test_resume_with_a_callback_that_the_checkpoint_lacks(self):
        self.framework.trainer(save_strategy="epoch").train()
        trainer = self.framework.trainer(
            EmissionsCallback(), save_strategy="epoch", num_train_epochs=3
        )
        trainer.train(resume_from_checkpoint=True)
        assert len(rows()) == 1

    def test_retry_with_a_smaller_batch_closes_the_try_that_failed(self, machine):
        callback = EmissionsCallback()
        error = RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
        tries: list[int] = []

        class Once(Fault):
            def __call__(self, what: str) -> None:
                if not tries:
                    try:
                        super().__call__(what)
                    except RuntimeError:
                        tries.append(1)
                        raise

        trainer = self.framework.trainer(
            callback, on_batch=Once("train", error), auto_find_batch_size=True
        )
        trainer.train()
        assert tries
        assert [receipt["status"] for receipt in receipts()] == ["interrupted", "completed"]
        assert not threads_of_ours()

    @pytest.mark.parametrize(("strategy", "written"), [("epoch", True), ("no", False)])
    def test_a_budget_that_is_used_up_leaves_a_checkpoint_where_the_trainer_writes_any(
        self, strategy, written, machine
    ):
        callback = self.framework.callback(budget_kwh=0.05 * WHOLE_EPOCH_KWH)
        look = self.framework.in_hook(lambda: callback._training.tracker.report())
        on_batch = clockwork(machine.clock)
        trainer = self.framework.trainer(callback, look, on_batch=on_batch, save_strategy=strategy)
        trainer.train()
        assert trainer.state.global_step < TRAIN_BATCHES
        checkpoint = Path("trainer") / f"checkpoint-{trainer.state.global_step}"
        assert checkpoint.exists() is written

    def test_a_callback_that_raises_at_the_end_closes_the_run_as_failed(self):
        class Raising(transformers.TrainerCallback):
            def on_train_end(self, *args: Any, **more: Any) -> None:
                raise Boom("at the end")

        trainer = self.framework.trainer(EmissionsCallback())
        trainer.callback_handler.callbacks.insert(0, Raising())
        with pytest.raises(Boom):
            trainer.train()
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()

    @pytest.mark.parametrize("outcome", ["ok", "pruned", "failed"])
    def test_each_trial_of_a_search_is_a_run_of_its_own(self, outcome):
        optuna = pytest.importorskip("optuna")
        seen: list[str] = []

        def in_second_trial(what: str) -> None:
            seen.append(what)
            second_trial = seen.count("train") == EPOCHS * TRAIN_BATCHES + 2
            if outcome == "failed" and what == "train" and second_trial:
                raise Boom("in the second trial")

        class Pruning(optuna.pruners.BasePruner):
            def prune(self, study: Any, trial: Any) -> bool:
                return outcome == "pruned" and trial.number == 1

        trainer = self.framework.trainer(EmissionsCallback(), on_batch=in_second_trial)
        trainer.model_init = lambda trial: Model(in_second_trial)
        goes_on = {"catch": (Boom,)} if outcome == "failed" else {}
        try:
            trainer.hyperparameter_search(
                hp_space=lambda trial: {"learning_rate": trial.suggest_float("rate", 0.01, 0.1)},
                n_trials=3,
                direction="minimize",
                backend="optuna",
                pruner=Pruning(),
                **goes_on,
            )
        except TypeError as error:
            assert "catch" in str(error)
            pytest.skip("this version's search cannot go on after a trial that failed")
        statuses = [receipt["status"] for receipt in receipts()]
        second = "completed" if outcome == "ok" else outcome
        assert statuses == ["completed", second, "completed"]
        assert not threads_of_ours()

    def test_stop_by_another_callback_ends_a_completed_run(self):
        class Stop(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
                control.should_training_stop = True

        self.framework.train(EmissionsCallback(), Stop())
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_the_card_after_an_evaluation_is_the_training_s(self, machine):
        callback = EmissionsCallback()
        trainer = self.framework.trainer(callback, on_batch=clockwork(machine.clock))
        trainer.train()
        trained_kg = callback.report.emissions_kg.value
        trainer.evaluate()
        assert callback.report.emissions_kg.value < trained_kg
        trainer.create_model_card(model_name="digits")
        assert self.card()["emissions"] == round(trained_kg * 1000, 4)

    def test_energy_for_each_unit_by_which_a_metric_became_better(self, machine):
        callback = EmissionsCallback(improvement_of="eval_loss")
        on_batch = clockwork(machine.clock)
        trainer = self.framework.trainer(callback, on_batch=on_batch, learning_rate=0.05)
        trainer.train()
        first, second = (entry["eval_loss"] for entry in entries_with(trainer, "eval_loss"))
        assert second < first
        (last,) = entries_with(trainer, "train_runtime")
        per_unit = last["carbon_energy_per_improvement_kwh"]
        assert per_unit == pytest.approx(WHOLE_EPOCH_KWH / (first - second))

    def test_it_stops_at_the_evaluation_at_which_a_metric_improves_too_little(self, machine):
        bound = {"min_improvement_per_kwh": 1e14, "patience": 2, "on_low_improvement": "stop"}
        callback = EmissionsCallback(improvement_of="eval_loss", **bound)
        on_batch = clockwork(machine.clock)
        trainer = self.framework.trainer(callback, on_batch=on_batch, num_train_epochs=9)
        trainer.train()
        assert len(entries_with(trainer, "eval_loss")) == 3
        assert trainer.state.global_step == 3 * TRAIN_BATCHES
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_a_resumed_training_stops_at_its_next_evaluation(self, machine):
        bound = {"min_improvement_per_kwh": 1e14, "patience": 2}
        on_batch = clockwork(machine.clock)
        options = {"on_batch": on_batch, "save_strategy": "epoch", "num_train_epochs": 9}
        warned = EmissionsCallback(improvement_of="eval_loss", **bound)
        self.framework.trainer(warned, **{**options, "num_train_epochs": 2}).train()
        stopped = EmissionsCallback(improvement_of="eval_loss", **bound, on_low_improvement="stop")
        trainer = self.framework.trainer(stopped, **options)
        trainer.train(resume_from_checkpoint=f"trainer/checkpoint-{2 * TRAIN_BATCHES}")
        assert trainer.state.global_step == 3 * TRAIN_BATCHES


class TestEarlyStopping:
    def test_the_energy_is_logged_if_it_may_end_the_training(self, machine):
        stop = transformers.EarlyStoppingCallback(4, early_stopping_threshold=1e9)
        trainer = TransformersFramework().trainer(
            EmissionsCallback(log_metrics="all"),
            stop,
            on_batch=clockwork(machine.clock),
            num_train_epochs=6,
            metric_for_best_model="eval_loss",
        )
        trainer.train()
        stopped = [one.get("forecast_if_stopped_kwh") for one in logged_epochs(trainer)]
        assert stopped[0] is None
        assert stopped[-1] == logged_epochs(trainer)[-1]["energy_kwh"]


class AddedLaterWorld(TransformersFramework):
    """A callback that the Trainer gets once it exists."""

    def trainer(self, *callbacks, **options):
        trainer = super().trainer(**options)
        for callback in callbacks:
            trainer.add_callback(callback)
        return trainer


class TestTransformersAddedLater(ShippedContract):
    framework = AddedLaterWorld()

    def test_its_evaluations_have_their_figures_all_the_same(self, machine):
        trainer = self.framework.train(
            EmissionsCallback(), on_batch=clockwork(machine.clock)
        ).trainer
        assert all(
            entry["eval_carbon_energy_kwh"] > 0 for entry in entries_with(trainer, "eval_loss")
        )

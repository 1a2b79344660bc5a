"""The receipt in the runs of MLflow and W&B that a training is logged to, with the real libraries."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks import EmissionsTracker
from carbon_callbacks._receipt_artifacts import Upload, of_target, send, uploads
from carbon_callbacks.loggers import log_receipt
from carbon_callbacks.training import Training

QUIET: dict[str, Any] = {"log_level": "error", "country_iso_code": "FRA"}


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = pytest.importorskip("mlflow", reason="mlflow is not installed here")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    before = module.get_tracking_uri()
    module.set_tracking_uri((tmp_path / "store").as_uri())
    yield module
    while module.active_run() is not None:
        module.end_run()
    module.set_tracking_uri(before)


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = pytest.importorskip("wandb", reason="wandb is not installed here")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    module.teardown()  # an earlier test may have had it read other variables
    yield module
    module.finish()
    module.teardown()


def in_store(directory: Path) -> list[dict[str, Any]]:
    """Return the receipts in MLflow's local store."""
    found = sorted(directory.glob("store/**/artifacts/carbon/*.receipt.json"))
    return [json.loads(path.read_text()) for path in found]


def own_receipt(directory: Path) -> dict[str, Any]:
    """Return the receipt of the training that the callback wrote itself."""
    paths = directory.glob("**/carbon_runs/*.receipt.json")
    (found,) = [one for one in map(json.loads, map(Path.read_text, paths)) if one["phases"]]
    return found


def ended(**settings: Any) -> Training:
    training = Training(**{**QUIET, **settings})
    with training.measure():
        training.epoch_begin(0.0)
        training.epoch_end()
    return training


def warnings_of(training: Training, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(training.tracker, "warn", told.append)
    return told


@pytest.mark.slow
def test_lightning_adds_it_to_mlflow(mlflow: Any, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.demos.boring_classes import BoringModel
    from lightning.pytorch.loggers import CSVLogger, MLFlowLogger

    from carbon_callbacks.lightning import EmissionsCallback

    loggers = [CSVLogger(tmp_path), MLFlowLogger(tracking_uri=(tmp_path / "store").as_uri())]
    trainer = lightning.Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=loggers,
        callbacks=[EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(BoringModel())
    # An evaluation has a receipt of its own, but is no training.
    trainer.validate(BoringModel(), verbose=False)
    (found,) = in_store(tmp_path)
    assert found["status"] == "completed"
    assert "train" in {phase["name"] for phase in found["phases"]}
    kept = tmp_path / "own" / "carbon_runs" / f"{found['run']['run_id']}.receipt.json"
    assert json.loads(kept.read_text()) == found


@pytest.mark.slow
def test_lightning_adds_it_to_wandb(wandb: Any, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.demos.boring_classes import BoringModel
    from lightning.pytorch.loggers import WandbLogger

    from carbon_callbacks.lightning import EmissionsCallback

    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logged = recorded(logger.experiment)
    trainer = lightning.Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=0,
        logger=logger,
        callbacks=[EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(BoringModel())
    assert content_of(logged) == own_receipt(tmp_path / "own")


@pytest.mark.slow
def test_a_logger_that_fails_changes_nothing_in_a_training(tmp_path: Path, caplog: Any) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.demos.boring_classes import BoringModel
    from lightning.pytorch.loggers.logger import DummyLogger

    from carbon_callbacks.lightning import EmissionsCallback

    class Client:
        def log_text(self, run_id: str, text: str, name: str) -> None:
            raise ConnectionError("no server")

    class MLFlowLogger(DummyLogger):
        """Takes metrics; its server is gone when the receipt arrives."""

        experiment, run_id = Client(), "1"

    callback = EmissionsCallback(
        output_dir=str(tmp_path / "own"), log_level="warning", country_iso_code="FRA"
    )
    trainer = lightning.Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=0,
        logger=MLFlowLogger(),
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(BoringModel())
    assert trainer.state.status == "finished"
    assert own_receipt(tmp_path / "own")["status"] == "completed"
    warning = "MLflow did not get the receipt: ConnectionError('no server')"
    assert [one for one in caplog.messages if warning in one] == [warning]


@pytest.mark.slow
def test_accelerate_adds_it_to_its_trackers(mlflow: Any, wandb: Any, tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    from carbon_callbacks.accelerate import EmissionsCallback

    callback = EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)
    accelerator = accelerate.Accelerator(
        cpu=True, log_with=[callback, "mlflow", "wandb"], project_dir=str(tmp_path)
    )
    accelerator.init_trackers("digits")
    logged = recorded(accelerator.get_tracker("wandb", unwrap=True))
    for _ in callback.epochs(range(1)):
        accelerator.log({"loss": 1.0})
    accelerator.end_training()
    assert content_of(logged) == own_receipt(tmp_path / "own")
    (found,) = [one for one in tmp_path.rglob("*.receipt.json") if one.parent.name == "carbon"]
    assert json.loads(found.read_text()) == content_of(logged)


def recorded(run: Any) -> list[Any]:
    """Return a list that gets the artifacts of a run of W&B."""
    logged: list[Any] = []
    log_artifact = run.log_artifact

    def record(artifact: Any, *args: Any, **kwargs: Any) -> Any:
        logged.append(artifact)
        return log_artifact(artifact, *args, **kwargs)

    run.log_artifact = record
    return logged


def content_of(logged: list[Any]) -> dict[str, Any]:
    """Return the receipt in the only artifact."""
    (artifact,) = logged
    assert artifact.type == "carbon"
    (entry,) = artifact.manifest.entries.values()
    found: dict[str, Any] = json.loads(Path(entry.local_path).read_text())
    return found


def hf_training(tmp_path: Path, report_to: str, callbacks: list[Any]) -> Any:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
    }  # fmt: skip
    config = transformers.BertConfig(vocab_size=20, **shape)
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"),
        max_steps=2,
        save_strategy="no",
        report_to=report_to,
        use_cpu=True,
        disable_tqdm=True,
    )
    data = [{"input_ids": [i, i + 1, i + 2], "labels": i % 2} for i in range(16)]
    model = transformers.BertForSequenceClassification(config)
    return transformers.Trainer(
        model=model, args=arguments, train_dataset=data, callbacks=callbacks
    )


@pytest.mark.slow
def test_hugging_face_adds_it_to_the_run_that_mlflow_s_callback_ends(
    mlflow: Any, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    from carbon_callbacks.transformers import EmissionsCallback

    callback = EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)
    hf_training(tmp_path, "mlflow", [callback]).train()
    assert in_store(tmp_path) == [own_receipt(tmp_path / "own")]
    assert mlflow.active_run() is None


@pytest.mark.slow
def test_hugging_face_adds_it_to_wandb(wandb: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from carbon_callbacks.transformers import EmissionsCallback

    logged = recorded(wandb.init())
    callback = EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)
    hf_training(tmp_path, "wandb", [callback]).train()
    assert content_of(logged) == own_receipt(tmp_path / "own")


@pytest.mark.slow
def test_a_training_that_is_logged_elsewhere_adds_it_to_no_run(mlflow: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from carbon_callbacks.transformers import EmissionsCallback

    callback = EmissionsCallback(output_dir=str(tmp_path / "own"), **QUIET)
    with mlflow.start_run():
        hf_training(tmp_path, "none", [callback]).train()
    assert in_store(tmp_path) == []


def test_a_loop_adds_it_to_mlflow(mlflow: Any, tmp_path: Path) -> None:
    with EmissionsTracker(output_dir=str(tmp_path / "own"), **QUIET) as tracker:
        pass
    with mlflow.start_run():
        name = log_receipt(mlflow, tracker)
    (found,) = in_store(tmp_path)
    assert name == f"{found['run']['run_id']}.receipt.json"
    assert found == json.loads((tmp_path / "own" / "carbon_runs" / name).read_text())


def test_a_loop_adds_it_to_wandb(wandb: Any, tmp_path: Path) -> None:
    with EmissionsTracker(output_dir=str(tmp_path / "own"), **QUIET) as tracker:
        pass
    run = wandb.init()
    logged = recorded(run)
    name = log_receipt(run, tracker)
    assert log_receipt(wandb, tracker) == name
    assert content_of(logged[:1])["run"]["run_id"] + ".receipt.json" == name


def test_what_has_no_run_is_refused(tmp_path: Path) -> None:
    tracker = EmissionsTracker(save_to_file=False, **QUIET)
    for target in (object(), None, os):
        with pytest.raises(TypeError, match="no run of MLflow or W&B"):
            log_receipt(target, tracker)


def test_mlflow_without_a_run_is_refused(mlflow: Any, tmp_path: Path) -> None:
    assert of_target(mlflow) is None


def test_a_tracker_that_fails_costs_a_warning_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = ended(output_dir=str(tmp_path))
    told = warnings_of(training, monkeypatch)
    added: list[str] = []

    def refuse(text: str, name: str) -> None:
        raise ConnectionError("no server")

    send(training, [Upload("MLflow", refuse), Upload("W&B", lambda text, name: added.append(name))])
    assert told == ["MLflow did not get the receipt: ConnectionError('no server')"]
    assert added == [f"{training.report.run.run_id}.receipt.json"]  # type: ignore[union-attr]


def test_a_tracker_that_does_not_respond_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = ended(output_dir=str(tmp_path), shutdown_timeout_s=0.1)
    told = warnings_of(training, monkeypatch)
    released = threading.Event()
    send(training, [Upload("MLflow", lambda text, name: released.wait())])
    assert told == ["MLflow did not get the receipt: no response in time"]
    released.set()


@pytest.mark.parametrize("settings", [{"log_receipt": False}, {"min_duration_s": 3600}])
def test_settings_switch_it_off(tmp_path: Path, settings: dict[str, Any]) -> None:
    added: list[str] = []
    training = ended(output_dir=str(tmp_path), **settings)
    send(training, [Upload("MLflow", lambda text, name: added.append(name))])
    assert added == []


def test_it_is_added_where_no_file_is_written(tmp_path: Path) -> None:
    added: list[str] = []
    training = ended(save_to_file=False)
    send(training, [Upload("MLflow", lambda text, name: added.append(text))])
    (text,) = added
    assert json.loads(text)["status"] == "completed"


def test_loggers_of_other_services_are_left_out() -> None:
    class TensorBoardLogger:
        pass

    class WandbCallback:
        _initialized = False
        _wandb = None

    assert uploads([TensorBoardLogger(), WandbCallback(), None]) == []

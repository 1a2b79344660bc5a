"""A tracker's figures in experiment loggers, read back by their own readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from faults.lab import eventually

from carbon_callbacks import EmissionsTracker
from carbon_callbacks.loggers import log_metrics


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logged_to(target: Any) -> list[dict[str, float]]:
    with EmissionsTracker(log_level="error", force_ram_power=500) as tracker:
        assert eventually(lambda: tracker.report() is not None and tracker.report().is_known)
        return [log_metrics(target, tracker, step) for step in (1, 2)]


@pytest.mark.slow
def test_tensorboard_s_reader_finds_each_step(place: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.SummaryWriter("logs") as writer:
        told = logged_to(writer)
    found = reading.EventAccumulator("logs").Reload().Scalars("carbon/energy_kwh")
    assert [event.step for event in found] == [1, 2]
    energies = [one["carbon/energy_kwh"] for one in told]
    assert [event.value for event in found] == pytest.approx(energies)
    assert energies[1] > energies[0]


@pytest.mark.slow
def test_mlflow_s_local_store_has_each_step(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((place / "store").as_uri())
    with mlflow.start_run() as run:
        told = logged_to(mlflow)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "carbon/emissions_kg")
    assert [one.step for one in history] == [1, 2]
    emissions = [one["carbon/emissions_kg"] for one in told]
    assert [one.value for one in history] == pytest.approx(emissions)


def test_wandb_takes_them_offline(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(place)) as run:
        told = logged_to(run)
        run.log({}, step=3)  # W&B keeps a step until the next begins
        kept = run.summary["carbon/energy_kwh"]
    assert kept == pytest.approx(told[-1]["carbon/energy_kwh"])


def test_what_is_no_logger_is_refused(place: Path) -> None:
    with pytest.raises(TypeError, match="neither add_scalar, nor log_metrics, nor log"):
        log_metrics(object(), EmissionsTracker(log_level="error"))


def test_a_tracker_that_never_ran_logs_nothing(place: Path) -> None:
    told: list[str] = []

    class Mine:
        def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
            told.append(json.dumps(metrics))

    assert log_metrics(Mine(), EmissionsTracker()) == {}
    assert told == ["{}"]

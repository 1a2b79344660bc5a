"""pytorch-forecasting: a Trainer of Lightning fits its networks."""

import pytest

pytest.importorskip("pytorch_forecasting")

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from works_in.tiny_lightning import QUIET, series, with_trainer


def test_trainer(works):
    def train(line):
        data = TimeSeriesDataSet(
            series("name", "step", "value"),
            time_idx="step",
            target="value",
            group_ids=["name"],
            max_encoder_length=8,
            max_prediction_length=2,
            time_varying_unknown_reals=["value"],
        )
        torch.manual_seed(7)
        sizes = {"hidden_size": 4, "attention_head_size": 1, "hidden_continuous_size": 4}
        model = TemporalFusionTransformer.from_dataset(data, learning_rate=0.01, **sizes)
        loaders = (
            data.to_dataloader(batch_size=16, num_workers=0),
            data.to_dataloader(train=False, batch_size=16, num_workers=0),
        )
        settings = {"logger": CSVLogger("logs"), **QUIET, "log_every_n_steps": 1}
        trainer = line.run(Trainer=Trainer, settings=settings)
        return with_trainer(trainer, model, lambda: trainer.fit(model, *loaders))

    works.check(train, phases=("train", "validate", "sanity_check"), samples=2 * 3 * 16)

"""darts: its torch models give the callback to their Trainer."""

import pytest

pytest.importorskip("darts")

import numpy as np
from darts import TimeSeries
from darts.models import TCNModel
from pytorch_lightning.loggers import CSVLogger
from works_in.tiny_lightning import QUIET
from works_in.works import Trained, csv_log


def test_model(works):
    def train(line):
        values = TimeSeries.from_values(np.sin(np.arange(60, dtype="float32") / 3.0))
        settings = {**QUIET, "logger": CSVLogger("logs"), "accelerator": "cpu"}
        sizes = {"n_epochs": 2, "batch_size": 16, "random_state": 7, "num_filters": 2}
        model = line.run(TCNModel=TCNModel, sizes=sizes, settings=settings)
        model.fit(values, val_series=values)
        return Trained(model.model, csv_log())

    works.check(train, phases=("train", "validate"), samples=2 * 51)

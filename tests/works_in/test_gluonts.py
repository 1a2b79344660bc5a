"""GluonTS: its torch estimators give the callback to their Trainer."""

import pytest

pytest.importorskip("gluonts")

import numpy as np
import pandas as pd
from gluonts.dataset.common import ListDataset
from gluonts.torch import DeepAREstimator
from lightning.pytorch.loggers import CSVLogger
from works_in.tiny_lightning import QUIET
from works_in.works import Trained, csv_log


def test_estimator(works):
    def train(line):
        values = np.sin(np.arange(60, dtype="float32") / 3.0)
        data = ListDataset([{"start": pd.Period("2024-01-01", "D"), "target": values}], freq="D")
        sizes = {"hidden_size": 4, "num_layers": 1, "batch_size": 4, "num_batches_per_epoch": 3}
        settings = {**QUIET, "max_epochs": 2, "logger": CSVLogger("logs"), "accelerator": "cpu"}
        estimator = line.run(DeepAREstimator=DeepAREstimator, sizes=sizes, settings=settings)
        predictor = estimator.train(data, validation_data=data)
        return Trained(predictor.prediction_net, csv_log())

    works.check(train, phases=("train", "validate"), samples=2 * 3 * 4)

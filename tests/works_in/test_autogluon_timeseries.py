"""AutoGluon: its deep forecasting models are those of GluonTS, on Lightning."""

import pytest

pytest.importorskip("autogluon.timeseries")

import pandas as pd
from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor
from lightning.pytorch.loggers import CSVLogger
from works_in.tiny_lightning import QUIET, series
from works_in.works import Trained, csv_log

DAYS = pd.date_range("2024-01-01", periods=40)


def test_predictor(works):
    def train(line):
        frame = series("item_id", "timestamp", "target")
        frame["timestamp"] = frame["timestamp"].map(DAYS.__getitem__)
        data = TimeSeriesDataFrame.from_data_frame(frame)
        predictor = TimeSeriesPredictor(prediction_length=2, path="models", verbosity=0)
        sizes = {"hidden_size": 4, "num_layers": 1, "num_batches_per_epoch": 3, "max_epochs": 2}
        settings = {**QUIET, "logger": CSVLogger("logs"), "max_epochs": 2}
        line.run(predictor=predictor, data=data, sizes=sizes, settings=settings)
        model = predictor._trainer.load_model("DeepAR")
        return Trained(model.most_recent_model.gts_predictor.prediction_net, csv_log())

    works.check(train, phases=("train", "validate"), samples=2 * 3 * 64)

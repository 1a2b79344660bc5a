"""Chemprop: a Trainer of Lightning fits its networks of molecules."""

import pytest

pytest.importorskip("chemprop")

import torch
from chemprop import data, models, nn
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from works_in.tiny_lightning import QUIET, with_trainer

SMILES = ["C", "CC", "CCO", "CCN", "CCC", "CO", "CN", "c1ccccc1"]


def test_trainer(works):
    def train(line):
        points = [data.MoleculeDatapoint.from_smi(one, [len(one)]) for one in SMILES]
        loaders = [
            data.build_dataloader(
                data.MoleculeDataset(points), batch_size=4, num_workers=0, shuffle=shuffle
            )
            for shuffle in (True, False)
        ]
        torch.manual_seed(7)
        passing = nn.BondMessagePassing(d_h=8, depth=2)
        model = models.MPNN(passing, nn.MeanAggregation(), nn.RegressionFFN(input_dim=8))
        settings = {"logger": CSVLogger("logs"), **QUIET, "log_every_n_steps": 1}
        trainer = line.run(Trainer=Trainer, settings=settings)
        return with_trainer(trainer, model, lambda: trainer.fit(model, *loaders))

    works.check(train, phases=("train", "validate", "sanity_check"), samples=2 * len(SMILES))

"""SetFit: the Trainer fine-tunes the embeddings, then fits a head of scikit-learn."""

import pytest

pytest.importorskip("setfit")

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from works_in.tiny import LINES, saved_bert
from works_in.works import Trained

from carbon_callbacks.transformers import EmissionsCallback


def test_trainer(works):
    def train(line):
        model = SetFitModel.from_pretrained(saved_bert("bert"), device="cpu")
        args = TrainingArguments(
            output_dir="out", max_steps=4, batch_size=4, report_to="none", logging_steps=2
        )
        data = Dataset.from_dict({"text": LINES, "label": [i % 2 for i in range(len(LINES))]})
        trainer = line.run(Trainer=Trainer, model=model, args=args, data=data)
        trainer.train()
        log = list(trainer.st_trainer.state.log_history)

        def again():
            trainer.remove_callback(EmissionsCallback)
            trainer.train()

        return Trained(model.model_body, log, again)

    works.check(train)

"""SetFit: the Trainer fine-tunes the embeddings, then the head."""

import pytest

pytest.importorskip("setfit")

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel, Trainer, TrainingArguments
from works_in.tiny import LINES, saved_bert
from works_in.works import Trained


def test_trainer(works):
    def train(line):
        body = SentenceTransformer(saved_bert("bert"), device="cpu")
        head = SetFitModel.from_pretrained(saved_bert("bert"), device="cpu")
        model = head
        del body
        args = TrainingArguments(
            output_dir="out", max_steps=4, batch_size=4, report_to="none", logging_steps=2
        )
        data = Dataset.from_dict({"text": LINES, "label": [i % 2 for i in range(len(LINES))]})
        trainer = line.run(Trainer=Trainer, model=model, args=args, data=data)
        trainer.train()
        return Trained(model.model_body, list(trainer.state.log_history))

    works.check(train)

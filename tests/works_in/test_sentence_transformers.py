"""sentence-transformers: embeddings and rerankers."""

import pytest

pytest.importorskip("sentence_transformers")

from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from works_in.tiny import ARGUMENTS, LINES, saved_bert, trained

EVALUATES = {"eval_strategy": "steps", "eval_steps": 2}
PAIRS = {
    "sentence1": LINES,
    "sentence2": LINES[1:] + LINES[:1],
    "label": [i % 2 / 1.0 for i in range(len(LINES))],
}


def test_embeddings(works):
    def train(line):
        model = SentenceTransformer(saved_bert("bert"), device="cpu")
        trainer = line.run(
            SentenceTransformerTrainer=SentenceTransformerTrainer,
            model=model,
            args=SentenceTransformerTrainingArguments(**ARGUMENTS, **EVALUATES),
            data=Dataset.from_dict(PAIRS),
            loss=CosineSimilarityLoss(model),
        )
        return trained(trainer)

    works.check(train, phases=("train", "validate"))


def test_reranker(works):
    def train(line):
        trainer = line.run(
            CrossEncoderTrainer=CrossEncoderTrainer,
            model=CrossEncoder(saved_bert("bert"), num_labels=1, device="cpu"),
            args=CrossEncoderTrainingArguments(**ARGUMENTS, **EVALUATES),
            data=Dataset.from_dict(PAIRS),
        )
        return trained(trainer)

    works.check(train, phases=("train", "validate"))

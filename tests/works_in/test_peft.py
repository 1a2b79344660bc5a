"""PEFT: a LoRA adapter, with the Trainer of transformers and with TRL's."""

import pytest

pytest.importorskip("peft")

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments
from works_in.tiny import ARGUMENTS, LINES, llama, tokenizer, trained

LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def test_trainer(works):
    def train(line):
        words = tokenizer()
        trainer = line.run(
            Trainer=Trainer,
            get_peft_model=get_peft_model,
            model=llama(),
            lora=LoraConfig(**LORA),
            args=TrainingArguments(**ARGUMENTS),
            data=[{"input_ids": words(text)["input_ids"]} for text in LINES],
            collate=DataCollatorForLanguageModeling(words, mlm=False),
        )
        return trained(trainer)

    works.check(train, samples=16)


def test_trl(works):
    trl = pytest.importorskip("trl")

    def train(line):
        trainer = line.run(
            SFTTrainer=trl.SFTTrainer,
            model=llama(),
            args=trl.SFTConfig(**ARGUMENTS, bf16=False, gradient_checkpointing=False),
            data=Dataset.from_dict({"text": LINES}),
            tokenizer=tokenizer(),
            lora=LoraConfig(**LORA),
        )
        return trained(trainer)

    works.check(train, samples=16, tokens=True)

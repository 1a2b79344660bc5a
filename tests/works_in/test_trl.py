"""TRL: supervised fine-tuning, preferences, reinforcement learning and reward models."""

import pytest

pytest.importorskip("trl")

from datasets import Dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)
from works_in.tiny import ARGUMENTS, LINES, PAIRS, llama, reward_llama, tokenizer, trained

ARGUMENTS = {**ARGUMENTS, "bf16": False, "gradient_checkpointing": False}
EVALUATES = {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 4}
PHASES = ("train", "validate")


def test_sft(works):
    def train(line):
        trainer = line.run(
            SFTTrainer=SFTTrainer,
            model=llama(),
            args=SFTConfig(**ARGUMENTS, **EVALUATES),
            data=Dataset.from_dict({"text": LINES}),
            tokenizer=tokenizer(),
        )
        return trained(trainer)

    works.check(train, phases=PHASES, samples=16, tokens=True)


def test_dpo(works):
    def train(line):
        trainer = line.run(
            DPOTrainer=DPOTrainer,
            model=llama(),
            reference=llama(),
            args=DPOConfig(**ARGUMENTS, **EVALUATES),
            pairs=Dataset.from_list(PAIRS),
            tokenizer=tokenizer(),
        )
        return trained(trainer)

    works.check(train, phases=PHASES, samples=16, tokens=True)


def test_kto(works):
    rows = [{"prompt": p["prompt"], "completion": p["chosen"], "label": True} for p in PAIRS]
    rows += [{"prompt": p["prompt"], "completion": p["rejected"], "label": False} for p in PAIRS]

    def train(line):
        trainer = line.run(
            KTOTrainer=KTOTrainer,
            model=llama(),
            reference=llama(),
            args=KTOConfig(**ARGUMENTS),
            labelled=Dataset.from_list(rows),
            tokenizer=tokenizer(),
        )
        return trained(trainer)

    works.check(train, samples=16, tokens=True)


def brevity(completions, **_):
    """Reward short answers."""
    return [-float(len(completion)) for completion in completions]


def by_reinforcement(line, trainer_class, config_class):
    # A batch of completions is for two steps; without beta there is no model of reference.
    counts = {"num_generations": 2, "steps_per_generation": 2}
    generation = {**counts, "max_completion_length": 4, "beta": 0.0}
    trainer = line.run(
        **{trainer_class.__name__: trainer_class},
        model=llama(),
        reward=brevity,
        args=config_class(**ARGUMENTS, **generation),
        prompts=Dataset.from_dict({"prompt": LINES}),
        tokenizer=tokenizer(),
    )
    return trained(trainer)


def test_grpo(works):
    works.check(
        lambda line: by_reinforcement(line, GRPOTrainer, GRPOConfig), samples=16, tokens=True
    )


def test_rloo(works):
    works.check(
        lambda line: by_reinforcement(line, RLOOTrainer, RLOOConfig), samples=16, tokens=True
    )


def test_reward(works):
    def train(line):
        trainer = line.run(
            RewardTrainer=RewardTrainer,
            model=reward_llama(),
            args=RewardConfig(**ARGUMENTS, **EVALUATES),
            pairs=Dataset.from_list(PAIRS),
            tokenizer=tokenizer(),
        )
        return trained(trainer)

    works.check(train, phases=PHASES, samples=16, tokens=True)

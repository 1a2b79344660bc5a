"""Tiny language models with random weights, and texts from Python's standard library."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from works_in.works import Trained

torch.set_num_threads(1)

with redirect_stdout(io.StringIO()):
    import this

LINES = [line for line in "".join(this.d.get(c, c) for c in this.s).splitlines() if line][:16]
PAIRS = [
    {"prompt": line, "chosen": " ".join(sorted(line.split())), "rejected": line.upper()}
    for line in LINES
]
# What the configurations of transformers and TRL have in common here.
ARGUMENTS: dict[str, Any] = {
    "output_dir": "out",
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "logging_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
}


def tokenizer() -> Any:
    """Return a word-level tokenizer of the lines."""
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<pad>", "</s>", "[CLS]", "[SEP]", "[MASK]"]
    words.train_from_iterator(LINES, trainers.WordLevelTrainer(special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def _llama(kind: Any, **options: Any) -> Any:
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.eos_token_id,
        **options,
    )
    torch.manual_seed(7)
    return kind(config)


def llama() -> Any:
    """Return a causal language model."""
    return _llama(LlamaForCausalLM)


def reward_llama() -> Any:
    """Return a model that gives a text a number."""
    return _llama(LlamaForSequenceClassification, num_labels=1)


def saved_bert(directory: str) -> str:
    """Save an encoder with its tokenizer; return the path."""
    words = tokenizer()
    torch.manual_seed(7)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(words), num_attention_heads=2, **shape)
    BertModel(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return str(Path(directory).resolve())


def trained(trainer: Any) -> Trained:
    """Train with a Trainer of transformers, which goes on without the callback afterwards."""
    from carbon_callbacks.transformers import EmissionsCallback

    trainer.train()
    log = list(trainer.state.log_history)

    def again() -> None:
        trainer.remove_callback(EmissionsCallback)
        trainer.train()

    return Trained(trainer.model, log, again)

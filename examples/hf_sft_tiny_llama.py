"""TRL: fine-tunes a tiny Llama with random weights and logs tokens per kWh."""

from __future__ import annotations

import sys
import this

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from carbon_callbacks.transformers import EmissionsCallback

# A text from Python's standard library, decoded.
LINES = [line for line in "".join(this.d.get(c, c) for c in this.s).splitlines() if line]


def tokenizer_of(lines):
    """Return a word-level tokenizer trained on these lines."""
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<pad>", "</s>"]
    words.train_from_iterator(lines, trainers.WordLevelTrainer(special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )


def train(output_dir=".", epochs=20):
    """Train; return the final metrics."""
    torch.manual_seed(0)
    tokenizer = tokenizer_of(LINES)
    shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    heads = dict(num_attention_heads=4, num_key_value_heads=2, pad_token_id=tokenizer.pad_token_id)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads))
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=f"{output_dir}/hf_sft",
            num_train_epochs=epochs,
            learning_rate=1e-2,
            save_strategy="no",
            report_to="none",
            bf16=torch.cuda.is_available(),
        ),
        train_dataset=Dataset.from_dict({"text": LINES}),
        processing_class=tokenizer,
        callbacks=[EmissionsCallback(project_name="hf-sft", output_dir=output_dir)],
    )
    trainer.train()
    return trainer.state.log_history[-1]


if __name__ == "__main__":
    metrics = train(*sys.argv[1:2])
    print(f"loss {metrics['train_loss']:.2f}, {metrics['carbon_energy_kwh']:.2e} kWh")
    print(
        f"{metrics['carbon_tokens_per_kwh']:.3g} tokens/kWh, {metrics['carbon_j_per_token']:.2e} J/token"
    )

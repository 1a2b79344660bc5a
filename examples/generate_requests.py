"""Generation: the energy of a request and of a token, with waiting time apart, in several threads."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from carbon_callbacks import EmissionsTracker
from carbon_core import energy_interval

PROMPTS = 24
NEW_TOKENS = 24


def tiny_llama():
    """Return a Llama with random weights."""
    torch.manual_seed(0)
    shape = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2)
    heads = dict(num_attention_heads=4, num_key_value_heads=4, pad_token_id=0, eos_token_id=None)
    return LlamaForCausalLM(LlamaConfig(vocab_size=256, **shape, **heads)).eval()


def serve(model, requests, number):
    """Generate for one prompt."""
    prompt = torch.full((1, 8), 1 + number, dtype=torch.long)
    with requests.request() as request:
        output = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW_TOKENS
        )
        request.tokens = output.shape[1] - prompt.shape[1]


def main(output_dir="."):
    """Serve prompts with two threads, after a wait for the first; return the totals."""
    with EmissionsTracker(project_name="generate", output_dir=output_dir) as tracker:
        model = tiny_llama()
        requests = tracker.requests("generate")
        threading.Event().wait(0.5)  # no prompt yet
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: serve(model, requests, number), range(PROMPTS)))
    return requests.totals()


if __name__ == "__main__":
    totals = main(*sys.argv[1:2])
    print(f"{totals.completed} requests, {totals.tokens} tokens")
    for what, kwh in (
        ("for each request", totals.per_request_kwh),
        ("for each token", totals.per_token_kwh),
        (f"idle for {totals.idle_s:.1f} s", totals.idle_kwh),
    ):
        print(f"{what}: {energy_interval(kwh)}")

"""`model.generate` of a tiny Llama, one token after the other on a machine whose joules are known."""

import threading

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from carbon_callbacks import EmissionsTracker
from carbon_callbacks.testing import WATTS, Boom, receipts

TOKEN_S = 0.5
NEW_TOKENS = 6


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config).eval()


class Clockwork(transformers.LogitsProcessor):
    """Lets each token take its nominal time.

    Args:
        act: What happens with each token.
    """

    def __init__(self, act):
        self._act = act

    def __call__(self, input_ids, scores):
        self._act()
        return scores


def generate(model, act, batch=1):
    prompt = torch.ones((batch, 4), dtype=torch.long)
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        logits_processor=[Clockwork(act)],
    )
    return output[:, 4:]


def advance(machine):
    return lambda: machine.clock.advance(TOKEN_S)


def kwh(joules):
    return pytest.approx(joules / 3.6e6)


def test_the_energy_of_a_generated_token(model, machine):
    with EmissionsTracker() as tracker:
        requests = tracker.requests("generate")
        for batch in (1, 3):
            machine.clock.advance(20)  # waits for a prompt
            with requests.request(n=batch) as request:
                request.tokens = generate(model, advance(machine), batch).numel()
        totals = requests.totals()
    each_j = WATTS * TOKEN_S * NEW_TOKENS
    assert (totals.completed, totals.tokens) == (4, 4 * NEW_TOKENS)
    assert totals.per_request_kwh.value == kwh(2 * each_j / 4)
    assert totals.per_token_kwh.value == kwh(2 * each_j / 4 / NEW_TOKENS)
    assert totals.idle_kwh.value == kwh(2 * 20 * WATTS)
    (counter,) = receipts()[0]["requests"]["counters"]
    assert counter["energy_per_token_kwh"] == totals.per_token_kwh.value


def test_a_generation_that_raises_has_failed(model, machine):
    with EmissionsTracker() as tracker:
        requests = tracker.requests()

        def fail():
            machine.clock.advance(TOKEN_S)
            raise Boom

        with pytest.raises(Boom), requests.request():
            generate(model, fail)
        totals = requests.totals()
    assert (totals.completed, totals.failed, totals.tokens) == (0, 1, 0)
    assert totals.failed_kwh.value == kwh(WATTS * TOKEN_S)


def test_generations_in_threads_share_the_time(model, machine):
    """Two threads take turns, a token each: the second one's request begins after the first token."""
    turns = [threading.Event(), threading.Event()]
    found = {}

    def serve(number, requests):
        def act():
            machine.clock.advance(TOKEN_S)
            turns[1 - number].set()
            assert turns[number].wait(30)
            turns[number].clear()

        assert turns[number].wait(30)
        turns[number].clear()
        with requests.request() as request:
            request.tokens = generate(model, act).numel()
        turns[1 - number].set()
        found[number] = request

    with EmissionsTracker() as tracker:
        requests = tracker.requests()
        threads = [threading.Thread(target=serve, args=(i, requests)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        turns[0].set()
        for thread in threads:
            thread.join()
        totals = requests.totals()
        energies = [found[i].energy_kwh for i in (0, 1)]
    assert (totals.completed, totals.tokens) == (2, 2 * NEW_TOKENS)
    assert totals.energy_kwh.value == kwh(WATTS * TOKEN_S * 2 * NEW_TOKENS)
    # The first one is alone for its first token; then both are open.
    shared = (2 * NEW_TOKENS - 1) / 2
    assert energies == [kwh(WATTS * TOKEN_S * (1 + shared)), kwh(WATTS * TOKEN_S * shared)]

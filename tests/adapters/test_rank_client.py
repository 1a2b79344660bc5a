"""Ranks that exchange totals: threads of one process over a real store of torch."""
# ruff: noqa: E402 - without torch, nothing below can be imported

import threading
import time

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("this torch has no distributed package", allow_module_level=True)

from carbon_callbacks._training import rank_client as client_module
from carbon_callbacks._training import rank_exchange as exchange_module
from carbon_callbacks._training import rank_store as store_module
from carbon_callbacks._training.rank_client import RankClient
from carbon_callbacks._training.totals import RankTotals, counted_twice
from carbon_core import Segment

WORLD = 3
LIMIT_S = 30.0


def totals(rank, kwh):
    segment = Segment(f"run-{rank}", "2026-01-01T00:00:00", 1.0, kwh, kwh / 2)
    return RankTotals({"energy_kwh": kwh, "emissions_kg": kwh / 2}, {}, {}, own=segment)


@pytest.fixture(autouse=True)
def first_training(monkeypatch):
    """Every test is the first training of its process."""
    monkeypatch.setattr(store_module, "_begun", type(store_module._begun)())


@pytest.fixture
def store():
    return torch.distributed.HashStore()


@pytest.fixture
def ranks(store, request):
    """Clients of three ranks; each has its own count of trainings, as in a process of its own."""
    made = [RankClient(lambda: store, f"test/{request.node.name}", rank=rank, world_size=WORLD,
                    polls=True) for rank in range(WORLD)]  # fmt: skip
    for one in made:
        # All threads of this test share what processes would count for themselves.
        store_module._begun.clear()
        one.start()
        assert one.request(lambda: None).wait(LIMIT_S)
    yield made
    for one in made:
        one.stop()


def ask(client, act, *arguments):
    answer = client.request(act, *arguments)
    assert answer.wait(LIMIT_S)
    return answer.value


def test_each_rank_learns_what_the_others_have_posted(ranks):
    for one in (1, 2, 0):
        ask(ranks[one], ranks[one].post, totals(one, one + 1.0).plain(), "1")
    assert ask(ranks[0], ranks[0].collect, "1", 5.0) is True
    ask(ranks[2], ranks[2].receive)
    assert sorted(t.totals["energy_kwh"] for t in ranks[0].others) == [2.0, 3.0]
    assert sorted(t.totals["energy_kwh"] for t in ranks[2].others) == [1.0, 2.0]


def test_nobody_waits_longer_than_it_may_for_a_rank_that_posts_nothing(ranks):
    ask(ranks[0], ranks[0].post, totals(0, 1.0).plain(), "1")
    assert ask(ranks[0], ranks[0].collect, "1", 0.01) is False
    assert ranks[0].others == []
    ask(ranks[0], ranks[0].record, "1", {"energy_kwh": 1.0})
    assert ask(ranks[1], ranks[1].record_of, "1", 5.0) == {"energy_kwh": 1.0}
    assert ask(ranks[1], ranks[1].record_of, "2", 0.01) is None


def settle(ranks, at, *, closed=False):
    arrived = [one.request(one.arrive, at) for one in ranks]
    assert all(answer.wait(LIMIT_S) and answer.value for answer in arrived)
    answers = [
        one.request(one.settle, totals(one.rank, one.rank + 1.0).plain(), at, closed=closed)
        for one in ranks
    ]
    assert all(answer.wait(LIMIT_S) for answer in answers)
    return [answer.value for answer in answers]


def test_final_totals_are_complete(ranks):
    assert settle(ranks, "last log") == [[], [], []]
    assert settle(ranks, "end", closed=True) == [[], [], []]
    for one in ranks:
        assert sum(t.totals["energy_kwh"] for t in one.others) == 6.0 - (one.rank + 1.0)


def test_a_rank_without_final_totals_is_named(ranks, monkeypatch):
    monkeypatch.setattr(client_module, "FINAL_TIMEOUT_S", 0.2)
    ask(ranks[2], ranks[2].post, totals(2, 3.0).plain(), "")
    ask(ranks[1], ranks[1].leave, totals(1, 2.0).plain())
    answer = ranks[0].request(ranks[0].settle, totals(0, 1.0).plain(), "end", closed=True)
    assert answer.wait(LIMIT_S)
    assert answer.value == [2]
    # What it posted before counts.
    assert sorted(t.totals["energy_kwh"] for t in ranks[0].others) == [2.0, 3.0]


def test_a_rank_that_has_left_is_not_waited_for(ranks):
    ask(ranks[1], ranks[1].leave, totals(1, 2.0).plain())
    assert settle([ranks[0], ranks[2]], "end", closed=True) == [[], []]
    assert sorted(t.totals["energy_kwh"] for t in ranks[2].others) == [1.0, 2.0]


def test_without_rank_0_nobody_waits(store):
    only = RankClient(lambda: store, "test/alone", rank=1, world_size=2)
    only.start()
    answer = only.request(only.settle, totals(1, 1.0).plain(), "end", closed=True)
    assert answer.wait(LIMIT_S)
    assert answer.value == [0]
    only.stop()


def decide(ranks, proposal):
    answers = [one.request(one.decide_stop, proposal) for one in ranks]
    assert all(answer.wait(LIMIT_S) for answer in answers)
    return [answer.value for answer in answers]


def until(holds):
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_all_ranks_stop_at_the_proposed_step(ranks):
    ask(ranks[0], ranks[0].propose_stop, 10)
    until(lambda: all(one.vote.proposal is not None for one in ranks))
    proposal = ranks[1].vote.proposal
    assert proposal.step == 10
    assert decide(ranks, proposal) == [True, True, True]


def test_a_rank_that_has_passed_the_step_keeps_all_from_stopping(ranks):
    ranks[2].vote.step = 11
    ask(ranks[0], ranks[0].propose_stop, 10)
    until(lambda: ranks[0].vote.proposal is not None and ranks[1].vote.proposal is not None)
    proposal = ranks[0].vote.proposal
    assert decide(ranks[:2], proposal) == [False, False]
    # The next proposal is another one, which all can reach.
    ask(ranks[0], ranks[0].propose_stop, 20)
    until(lambda: all(one.vote.proposal is not None for one in ranks))
    assert decide(ranks, ranks[2].vote.proposal) == [True, True, True]


def test_the_first_to_arrive_decides_for_all(ranks):
    ask(ranks[0], ranks[0].propose_stop, 10)
    until(lambda: all(one.vote.proposal is not None for one in ranks))
    proposal = ranks[0].vote.proposal
    assert ask(ranks[1], ranks[1].decide_stop, proposal) is True
    assert ask(ranks[0], ranks[0].decide_stop, proposal) is True
    assert ask(ranks[2], ranks[2].decide_stop, proposal) is True


def test_a_store_that_fails_costs_the_others_totals_and_nothing_else():
    class Broken:
        def set_timeout(self, timeout):
            pass

        def __getattr__(self, name):
            raise ConnectionError("gone")

    one = RankClient(lambda: Broken(), "test/broken", rank=0, world_size=2)
    one.start()
    assert ask(one, one.post, totals(0, 1.0).plain(), "1") is None
    assert ask(one, one.collect, "1", 1.0) is None
    assert one.others == []
    one.stop()


def test_ranks_behind_a_store_that_fails_are_missing_at_the_end(monkeypatch):
    class Distributed:
        class distributed_c10d:
            @staticmethod
            def _get_default_store():
                raise ConnectionError("gone")

        get_rank, get_world_size = staticmethod(lambda: 1), staticmethod(lambda: 3)

    monkeypatch.setattr(exchange_module, "_distributed", lambda: Distributed)
    exchange = exchange_module.RankExchange()
    assert exchange.open("test", "train", may_stop=True)
    exchange.exchange(totals(1, 1.0), "1")
    assert exchange.agreed("1", {"energy_kwh": 1.0}) == {"energy_kwh": 1.0}
    assert exchange.should_stop(5, wanted=True) is False
    exchange.settle("closing", lambda: totals(1, 1.0), closed=True)
    assert list(exchange.missing) == [0, 2]
    exchange.close()


def test_records_do_not_pile_up(ranks, store):
    first = ranks[0]
    for index in range(100):
        ask(first, first.post, totals(0, 1.0).plain(), str(index))
        ask(first, first.record, str(index), {"energy_kwh": 1.0})
    for kind in ("log", "posted"):
        kept = sum(first._store.has(f"{kind}/{index}") for index in range(100))
        assert kept == client_module._KEPT_RECORDS


def test_a_training_that_rank_0_has_ended_is_not_joined(store):
    before = RankClient(lambda: store, "test/joined", rank=0, world_size=2)
    before.start()
    assert before.request(before.leave, totals(0, 1.0).plain()).wait(LIMIT_S)
    before.stop()
    store_module._begun.clear()
    late = RankClient(lambda: store, "test/joined", rank=1, world_size=2)
    late.start()
    ask(late, late.receive)
    assert late.others == []
    late.stop()


def test_gpus_that_several_ranks_count_are_found_also_after_the_store():
    one = RankTotals({}, {}, {}, gpus=("gpu:GPU-11112222", "gpu:GPU-33334444"))
    other = RankTotals.of_plain(one._replace(gpus=("gpu:GPU-33334444",)).plain())
    assert counted_twice([one, other]) == ("gpu:GPU-33334444",)
    assert counted_twice([one]) == ()

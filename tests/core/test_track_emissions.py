"""`@track_emissions`: each call is a run; the function stays what it was."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gc
import inspect
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks import ConfigError, track_emissions, track_task_emissions

quiet = partial(
    track_emissions,
    force_cpu_power=1e-6,  # the load model, at next to nothing
    force_ram_power=3600,
    force_carbon_intensity_g_co2e_kwh=1000,
    log_level="CRITICAL",
    measure_power_secs=0.05,
)


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def rows() -> list[dict[str, str]]:
    if not Path("emissions.csv").exists():
        return []
    with Path("emissions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_call_is_a_run() -> None:
    @quiet()
    def work(x: int, *, y: int = 2) -> int:
        """Add."""
        return x + y

    assert [work(1), work(1, y=5)] == [3, 6]
    assert len({row["run_id"] for row in rows()}) == 2


def test_without_parentheses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_LOG_LEVEL", "CRITICAL")
    monkeypatch.setenv("CODECARBON_PROJECT_NAME", "bare")

    @track_emissions
    def work() -> str:
        return "done"

    assert work() == "done"
    assert [row["project_name"] for row in rows()] == ["bare"]


def test_offline_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("requests.get", lambda *a, **k: asked.append(a))

    @track_emissions(
        offline=True, country_iso_code="FRA", electricitymaps_api_token="x", log_level="CRITICAL"
    )
    def work() -> None:
        pass

    work()
    assert len(rows()) == 1
    assert asked == []


def test_decorating_measures_nothing_yet() -> None:
    @quiet()
    def work() -> None:
        pass

    assert list(Path().iterdir()) == []


def test_name_documentation_and_signature_stay() -> None:
    def work(x: int, *, y: int = 2) -> int:
        """Add."""
        return x + y

    tracked = quiet()(work)
    assert tracked.__name__ == "work"
    assert tracked.__doc__ == "Add."
    assert inspect.signature(tracked) == inspect.signature(work)
    assert tracked.__wrapped__ is work


@pytest.mark.parametrize("offline", [True, False])
def test_a_wrong_setting_raises_where_it_is_written(offline: bool) -> None:
    with pytest.raises(ConfigError, match="measure_power_secs"):
        track_emissions(offline=offline, measure_power_secs=-1)
    with pytest.raises(ConfigError, match="did you mean 'project_name'"):
        track_emissions(offline=offline, projekt_name="x")


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_exceptions_pass_unchanged_and_the_run_is_kept(error: BaseException) -> None:
    @quiet()
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        work()
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(rows()) == 1


def test_recursion_makes_a_run_for_each_call() -> None:
    @quiet()
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n > 1 else 1

    assert factorial(3) == 6
    found = rows()
    assert len({row["run_id"] for row in found}) == 3
    durations = [float(row["duration"]) for row in found]
    assert durations == sorted(durations), "the innermost call ends first"


def test_a_coroutine_is_measured_until_its_await_ends() -> None:
    @quiet()
    async def work() -> str:
        await asyncio.sleep(0.3)
        return "done"

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work()) == "done"
    assert float(rows()[0]["duration"]) >= 0.3


def test_coroutines_side_by_side_have_a_run_each() -> None:
    @quiet()
    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def both() -> list[float]:
        return await asyncio.gather(work(0.3), work(0.1))

    assert asyncio.run(both()) == [0.3, 0.1]
    assert sorted(float(row["duration"]) >= 0.3 for row in rows()) == [False, True]


def test_a_cancelled_coroutine_is_kept_and_stays_cancelled() -> None:
    @quiet()
    async def work() -> None:
        await asyncio.sleep(30)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert len(rows()) == 1


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_generator_is_measured_while_it_is_used(kind: str) -> None:
    @quiet()
    def plain() -> Any:
        yield 1
        time.sleep(0.3)
        yield 2

    @quiet()
    async def asynchronous() -> Any:
        yield 1
        await asyncio.sleep(0.3)
        yield 2

    async def collect() -> list[int]:
        return [item async for item in asynchronous()]

    assert (list(plain()) if kind == "plain" else asyncio.run(collect())) == [1, 2]
    (row,) = rows()
    assert float(row["duration"]) >= 0.3


def statuses() -> list[str]:
    paths = sorted(Path("carbon_runs").glob("*.receipt.json"))
    return sorted(json.loads(path.read_text())["status"] for path in paths)


def test_a_generator_function_stays_one() -> None:
    @quiet()
    def plain() -> Any:
        """Yield."""
        yield 1

    @quiet()
    async def asynchronous() -> Any:
        yield 1

    assert inspect.isgeneratorfunction(plain)
    assert inspect.isasyncgenfunction(asynchronous)
    assert not inspect.iscoroutinefunction(asynchronous)
    assert (plain.__name__, plain.__doc__) == ("plain", "Yield.")
    iterator = plain()
    assert inspect.isgenerator(iterator)
    assert rows() == []


def test_a_generator_gets_what_is_sent_and_thrown_and_returns() -> None:
    @quiet()
    def echo() -> Any:
        got = []
        while len(got) < 3:
            try:
                got.append((yield len(got)))
            except KeyError as error:
                got.append(error.args[0])
        return got

    def outer() -> Any:
        result = yield from echo()
        yield result

    iterator = outer()
    assert next(iterator) == 0
    assert iterator.send("a") == 1
    assert iterator.throw(KeyError("b")) == 2
    assert rows() == []
    assert iterator.send("c") == ["a", "b", "c"]
    assert len(rows()) == 1
    assert list(iterator) == []
    assert len(rows()) == 1
    assert statuses() == ["completed"]


def test_an_async_generator_gets_what_is_sent_and_thrown() -> None:
    @quiet()
    async def echo() -> Any:
        got: list[Any] = []
        while len(got) < 3:
            try:
                got.append((yield list(got)))
            except KeyError as error:
                got.append(error.args[0])
        yield got

    async def use() -> None:
        iterator = echo()
        assert await anext(iterator) == []
        assert await iterator.asend("a") == ["a"]
        assert await iterator.athrow(KeyError("b")) == ["a", "b"]
        assert await iterator.asend("c") == ["a", "b", "c"]
        assert rows() == []
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        assert len(rows()) == 1

    asyncio.run(use())
    assert statuses() == ["completed"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_exception_of_a_generator_passes_and_its_run_failed(kind: str) -> None:
    error = ValueError("bad")

    @quiet()
    def plain() -> Any:
        yield 1
        raise error

    @quiet()
    async def asynchronous() -> Any:
        yield 1
        raise error

    async def collect() -> list[int]:
        return [item async for item in asynchronous()]

    with pytest.raises(ValueError, match="bad") as caught:
        list(plain()) if kind == "plain" else asyncio.run(collect())
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert statuses() == ["failed"]


@pytest.mark.parametrize("how", ["close", "break", "collected"])
def test_an_abandoned_generator_ends_its_run(how: str) -> None:
    cleaned = []

    @quiet()
    def work() -> Any:
        try:
            yield from range(10)
        finally:
            cleaned.append(True)

    if how == "break":
        for item in work():
            if item:
                break
    else:
        iterator = work()
        next(iterator)
        if how == "close":
            iterator.close()
        else:
            cycle = [iterator]
            cycle.append(cycle)
            del iterator, cycle
            gc.collect()
    assert cleaned == [True]
    assert statuses() == ["interrupted"]


@pytest.mark.parametrize("how", ["aclose", "collected", "end of the loop"])
def test_an_abandoned_async_generator_ends_its_run(how: str) -> None:
    cleaned = []
    trouble: list[Any] = []

    @quiet()
    async def work() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    kept = []

    async def use() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: trouble.append(context)
        )
        iterator = work()
        await anext(iterator)
        if how == "aclose":
            await iterator.aclose()
            assert cleaned == [True]
        elif how == "end of the loop":
            kept.append(iterator)
        else:
            del iterator
            while not cleaned:  # by a task that the loop makes of it
                await asyncio.sleep(0)

    asyncio.run(use())
    assert cleaned == [True]
    assert trouble == []
    assert statuses() == ["interrupted"]


def test_generators_of_one_function_are_runs_of_their_own() -> None:
    @quiet()
    def work() -> Any:
        yield 1
        yield 2

    assert list(zip(work(), work())) == [(1, 1), (2, 2)]
    assert list(work()) == [1, 2]
    assert len({row["run_id"] for row in rows()}) == 3


def test_a_context_manager_made_of_a_generator() -> None:
    @contextlib.contextmanager
    @quiet()
    def block() -> Any:
        yield "inside"

    @contextlib.asynccontextmanager
    @quiet()
    async def asynchronous() -> Any:
        yield "inside"

    async def use() -> None:
        async with asynchronous() as value:
            assert value == "inside"

    with block() as value:
        assert value == "inside"
    with pytest.raises(KeyError), block():
        raise KeyError
    asyncio.run(use())
    assert statuses() == ["completed", "completed", "failed"]


@pytest.mark.parametrize("decorator", [track_task_emissions, quiet()])
def test_methods_of_every_kind(decorator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_LOG_LEVEL", "CRITICAL")

    class Model:
        @decorator
        def each(self, count: int) -> Any:
            yield from range(count)

        @decorator
        @staticmethod
        def load(name: str) -> str:
            return name

        @decorator
        @classmethod
        def make(cls) -> Any:
            yield cls

        @decorator
        async def fit(self) -> Any:
            return self

        async def __call__(self) -> str:
            await asyncio.sleep(0.2)
            return "called"

    model = Model()
    assert list(model.each(3)) == [0, 1, 2]
    assert (Model.load("a"), model.load("b")) == ("a", "b")
    assert list(model.make()) == [Model]
    assert asyncio.run(model.fit()) is model
    assert asyncio.run(decorator(model)()) == "called"
    assert max(float(row["duration"]) for row in rows()) >= 0.2


def test_methods_and_static_methods() -> None:
    class Model:
        @quiet()
        def fit(self, x: int) -> tuple[Model, int]:
            return self, x

        @staticmethod
        @quiet()
        def load() -> str:
            return "loaded"

    model = Model()
    assert model.fit(3) == (model, 3)
    assert Model.load() == "loaded"
    assert len(rows()) == 2


def test_what_is_decorated_keeps_its_type() -> None:
    def work() -> int:
        return 1

    decorated: Callable[[], int] = quiet()(work)
    assert decorated() == 1

"""Records behave as the dataclasses that type checkers take them for."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from fresh_interpreter import loaded

from carbon_core.record import asdict, field, record, replace
from carbon_core.shared_methods import options_of


# The same definition twice: as a record, and as what it must behave like.
@record
class Mutable:
    number: int
    text: str = "a"
    hidden: int = field(default=3, repr=False, compare=False, metadata={"key": "kept"})
    listed: list[int] = field(default_factory=list)


@dataclasses.dataclass
class Likewise:
    number: int
    text: str = "a"
    hidden: int = dataclasses.field(default=3, repr=False, compare=False, metadata={"key": "kept"})
    listed: list[int] = dataclasses.field(default_factory=list)


@record(frozen=True)
class Point:
    x: float
    y: float = 0.0


@record(frozen=True, kw_only=True)
class Row:
    name: str = "row"


@record(frozen=True, kw_only=True)
class LongRow(Row):
    size: int


ARGUMENTS = [
    ((1,), {}),
    ((1, "b", 4, [5]), {}),
    ((), {"text": "b", "number": 1}),
    ((), {}),
    ((1, 2, 3, [], 5), {}),
    ((1,), {"number": 1}),
    ((1,), {"absent": 1}),
]


@pytest.mark.parametrize(("args", "given"), ARGUMENTS)
def test_arguments_give_the_same_fields_or_the_same_kind_of_error(args, given):
    def values(cls):
        try:
            return list(vars(cls(*args, **given)).items())
        except TypeError:
            return "refused"

    assert values(Mutable) == values(Likewise)


def test_text_equality_and_hash():
    one = Mutable(1, hidden=4)
    assert repr(one) == repr(Likewise(1)).replace("Likewise", "Mutable")
    assert one == Mutable(1, hidden=5)
    assert one != Mutable(2)
    assert one != Likewise(1)
    assert len({Point(1.0), Point(1.0, 0.0), Point(2.0)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_defaults_of_a_factory_are_not_shared():
    one = Mutable(1)
    one.listed.append(1)
    assert Mutable(1).listed == []
    assert Mutable.text == "a"
    assert not hasattr(Mutable, "listed")


def test_a_frozen_record_refuses_changes():
    point = Point(1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert point == Point(1.0)


def test_the_functions_of_dataclasses_know_records():
    def described(cls):
        return [
            (f.name, f.type, f.default, f.default_factory, f.repr, f.compare, dict(f.metadata))
            for f in dataclasses.fields(cls)
        ]

    assert described(Mutable) == described(Likewise)
    assert dataclasses.is_dataclass(Point)
    nested = Mutable(1, listed=[Point(1.0), (Point(2.0),), {"a": Point(3.0)}])
    assert dataclasses.asdict(nested) == asdict(nested)
    assert asdict(nested)["listed"][0] == {"x": 1.0, "y": 0.0}
    assert dataclasses.replace(Point(1.0), y=2.0) == Point(1.0, 2.0) == replace(Point(1.0), y=2.0)
    assert options_of(Mutable)["hidden"]["metadata"] == {"key": "kept"}
    assert [f.name for f in dataclasses.fields(LongRow)] == ["name", "size"]


def test_keyword_only_fields_and_those_of_a_base():
    assert LongRow(size=2).name == "row"
    with pytest.raises(TypeError):
        LongRow("name", size=2)
    with pytest.raises(TypeError):
        LongRow(name="name")


def test_a_dataclass_may_inherit_from_a_record():
    @dataclasses.dataclass(frozen=True)
    class Further(Point):
        z: float = 0.0

    assert dataclasses.astuple(Further(1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)


def test_copies_pickles_and_patterns():
    point = Point(1.0, 2.0)
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1.0, 2.0)


def test_defining_and_using_records_loads_no_dataclasses():
    code = """
from carbon_core.record import asdict, record, replace
class Made:
    a: int = 1
Made.__annotations__["a"] = "int"
made = record(frozen=True)(Made)
assert asdict(replace(made(2), a=3)) == {"a": 3}
"""
    assert not loaded(code) & {"dataclasses", "inspect"}

"""Signatures that list the settings are written when somebody looks at them, not before."""

from __future__ import annotations

import inspect

from fresh_interpreter import loaded

from carbon_core.config.lazy_signature import with_settings
from carbon_core.config.schema import KEYS


class Inner:
    def __init__(self, size: int = 1, **overrides) -> None:
        self.size, self.overrides = size, overrides


@with_settings(Inner)
class Outer:
    def __init__(self, name: str, **overrides) -> None:
        self.name, self.inner = name, Inner(**overrides)


class Derived(Outer):
    def __init__(self, **overrides) -> None:
        super().__init__("derived", **overrides)


def test_making_a_tracker_writes_no_signature():
    code = "from carbon_callbacks import EmissionsTracker; EmissionsTracker(log_level='ERROR')"
    assert not loaded(code) & {"inspect", "dataclasses", "carbon_core.config.signature"}


def test_a_look_at_the_class_writes_it_once():
    code = "from carbon_callbacks import EmissionsTracker; EmissionsTracker.__init__"
    assert "carbon_core.config.signature" in loaded(code)
    first = Outer.__init__
    assert first is Outer.__init__ is vars(Outer)["__init__"]
    assert inspect.isfunction(first)


def test_an_instance_is_made_before_and_after_it():
    made = Derived(size=2, pue=1.5)
    assert list(inspect.signature(Outer).parameters)[:2] == ["name", "size"]
    assert {*inspect.signature(Outer).parameters} >= {*KEYS}
    again = Derived(size=2, pue=1.5)
    for one in made, again:
        assert (one.name, one.inner.size, one.inner.overrides) == ("derived", 2, {"pue": 1.5})


def test_the_signature_is_found_from_the_method_and_from_a_subclass():
    class Same(Outer):
        pass

    assert "pue" in inspect.signature(Same).parameters
    assert "pue" in inspect.signature(Same.__init__).parameters
    assert "pue:" in inspect.getdoc(Same.__init__)

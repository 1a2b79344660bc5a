"""Which zones of a powercap tree count, told by their names and by how their counters move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from carbon_core.errors import MeterError
from carbon_core.hardware.rapl_zones import Choice, choose_zones, zone_facts
from carbon_core.testing import RaplTree


@pytest.fixture
def tree(tmp_path: Path) -> RaplTree:
    return RaplTree(tmp_path)


def still(seconds: float) -> None:
    """Stand for a pause in which no counter moves."""


def chosen(tree: RaplTree, pause: Callable[[float], object] = still) -> Choice:
    return choose_zones(tree.root, pause)


def counted(tree: RaplTree, pause: Callable[[float], object] = still) -> list[str]:
    return [zone.name for zone in chosen(tree, pause).counted]


def dropped(choice: Choice) -> list[str]:
    return [refusal.reason for refusal in choice.dropped]


class Dies:
    """Dies of one package whose counters move while the search pauses.

    Args:
        tree: Where they are.
        *joules: Each die's counter at first.
        range_j: Where the counters wrap.
    """

    def __init__(self, tree: RaplTree, *joules: float, range_j: float = 65_532.6) -> None:
        self._tree = tree
        self._joules = list(joules)
        self._steps = [0.0] * len(joules)
        self.paused_s = 0.0
        self._zones = [
            tree.zone(f"intel-rapl:{i}", f"package-0-die-{i}", range_j=range_j)
            for i in range(len(joules))
        ]
        self._show()

    def moving(self, *steps_j: float) -> Callable[[float], None]:
        """Return a pause in which each counter moves by its step."""
        self._steps = list(steps_j)
        return self._pause

    def _pause(self, seconds: float) -> None:
        self.paused_s += seconds
        self._joules = [a + b for a, b in zip(self._joules, self._steps)]
        self._show()

    def _show(self) -> None:
        for zone, joules in zip(self._zones, self._joules):
            self._tree.set_joules(zone, joules)


# --- names ----------------------------------------------------------------------------------------


def test_a_zone_is_what_its_name_says_wherever_it_lies(tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "psys")
    tree.zone("intel-rapl:1", "package-0")
    tree.zone("intel-rapl:1:0", "uncore")
    tree.zone("intel-rapl:1:1", "dram")
    tree.zone("intel-rapl:1:2", "core")
    assert counted(tree) == ["package-0", "dram"]


def test_zones_shown_at_the_top_and_below_count_once(tree: RaplTree) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    dram = tree.zone("intel-rapl:0:0", "dram")
    (package.parent / dram.name).symlink_to(dram)
    assert counted(tree) == ["package-0", "dram"]


def test_the_second_view_of_a_package_is_dropped_and_said(tree: RaplTree) -> None:
    tree.zone("intel-rapl-mmio:0", "package-0")
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:1", "package-1")
    choice = chosen(tree)
    assert [zone.path.name for zone in choice.counted] == ["intel-rapl:0", "intel-rapl:1"]
    assert dropped(choice) == [
        "intel-rapl-mmio:0 (package-0) is not counted: intel-rapl:0 is the same package"
    ]


def test_the_second_view_counts_where_the_first_cannot_be_read(tree: RaplTree) -> None:
    for view in ("intel-rapl", "intel-rapl-mmio"):
        tree.zone(f"{view}:0", "package-0")
        tree.zone(f"{view}:0:0", "dram")
    for hidden in tree.root.rglob("intel-rapl:0*/energy_uj"):
        hidden.unlink()
    choice = chosen(tree)
    assert [zone.path.name for zone in choice.counted] == [
        "intel-rapl-mmio:0",
        "intel-rapl-mmio:0:0",
    ]
    assert dropped(choice) == [
        "intel-rapl:0 (package-0) is not counted: intel-rapl-mmio:0 is the same package"
    ]


def test_memory_that_both_views_show_counts_once(tree: RaplTree) -> None:
    for view in ("intel-rapl", "intel-rapl-mmio"):
        tree.zone(f"{view}:0", "package-0")
        tree.zone(f"{view}:0:0", "dram")
    assert [zone.path.name for zone in chosen(tree).counted] == ["intel-rapl:0", "intel-rapl:0:0"]


def test_psys_is_told_and_never_counted(tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:1", "psys")
    choice = chosen(tree)
    assert [zone.name for zone in choice.counted] == ["package-0"]
    assert dropped(choice) == [
        "intel-rapl:1 (psys) is not counted: it contains the packages "
        "and other parts, which differ between boards"
    ]
    assert zone_facts(tree.root) == {"rapl_psys": "present (intel-rapl:1), not counted"}


def test_without_psys_nothing_is_told(tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "package-0")
    assert zone_facts(tree.root) == {}


def test_cores_count_only_for_want_of_packages(tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "psys")
    tree.zone("intel-rapl:0:0", "core")
    tree.zone("intel-rapl:1", "core")
    tree.zone("intel-rapl:1:0", "uncore")
    assert [zone.path.name for zone in chosen(tree).counted] == ["intel-rapl:0:0", "intel-rapl:1"]


def test_psys_alone_is_refused(tree: RaplTree) -> None:
    tree.zone("intel-rapl:0", "psys")
    with pytest.raises(MeterError, match=r"only a psys zone.*differs between boards"):
        chosen(tree)


def test_zones_that_a_container_hides_are_refused_with_a_remedy(tree: RaplTree) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    for file in package.iterdir():
        file.unlink()
    with pytest.raises(MeterError, match="hidden") as caught:
        chosen(tree)
    assert "systempaths=unconfined" in caught.value.remedy


# --- dies -----------------------------------------------------------------------------------------


def test_dies_that_move_as_one_count_once(tree: RaplTree) -> None:
    dies = Dies(tree, 500.0, 500.0, 500.0, 500.0)
    choice = chosen(tree, dies.moving(4.0, 4.0, 4.0, 4.0))
    assert [zone.name for zone in choice.counted] == ["package-0-die-0"]
    assert dropped(choice) == [
        f"intel-rapl:{i} (package-0-die-{i}) is not counted: "
        "it shows the counter of intel-rapl:0 (package-0-die-0)"
        for i in (1, 2, 3)
    ]
    assert 0.0 < dies.paused_s <= 0.06


def test_views_that_lag_by_a_step_are_one_counter(tree: RaplTree) -> None:
    dies = Dies(tree, 500.0, 499.6)
    assert counted(tree, dies.moving(4.0, 4.0)) == ["package-0-die-0"]


def test_one_counter_is_known_across_its_wrap(tree: RaplTree) -> None:
    dies = Dies(tree, 65_532.4, 65_532.7)
    assert counted(tree, dies.moving(4.0, 4.0)) == ["package-0-die-0"]


@pytest.mark.parametrize("apart_j", [5.0, -5.0, 10_000.0])
def test_dies_that_draw_alike_have_counters_of_their_own(tree: RaplTree, apart_j: float) -> None:
    dies = Dies(tree, 500.0, 500.0 + apart_j)
    assert len(counted(tree, dies.moving(4.0, 4.0))) == 2


def test_dies_that_meet_by_chance_and_part_are_both_counted(tree: RaplTree) -> None:
    dies = Dies(tree, 500.0, 500.0)
    assert len(counted(tree, dies.moving(4.0, 1.0))) == 2


def test_of_two_pairs_of_mirrors_one_each_counts(tree: RaplTree) -> None:
    dies = Dies(tree, 500.0, 900.0, 500.0, 900.0)
    moving = dies.moving(4.0, 3.0, 4.0, 3.0)
    assert counted(tree, moving) == ["package-0-die-0", "package-0-die-1"]


def test_counters_that_stand_at_zero_tell_nothing_and_stay(tree: RaplTree) -> None:
    assert len(counted(tree, Dies(tree, 0.0, 0.0).moving(0.0, 0.0))) == 2


def test_a_die_that_cannot_be_read_is_not_taken_for_a_mirror(tree: RaplTree) -> None:
    dies = Dies(tree, 500.0, 500.0)
    (tree.root / "sys/class/powercap/intel-rapl:1/energy_uj").write_text("")
    assert len(counted(tree, dies.moving(0.0, 0.0))) == 2


@pytest.mark.parametrize("joules", [0.0, 500.0])
def test_packages_are_never_taken_for_each_other(tree: RaplTree, joules: float) -> None:
    for i in range(2):
        tree.set_joules(tree.zone(f"intel-rapl:{i}", f"package-{i}"), joules)

    def never(seconds: float) -> None:
        raise AssertionError("no need to wait")

    assert counted(tree, never) == ["package-0", "package-1"]

"""The id of a search that keeps its state in a directory."""

from pathlib import Path

import pytest

from carbon_callbacks._searches import id_in


@pytest.mark.parametrize("has_links", [True, False])
def test_an_id_is_kept_in_the_directory_and_nothing_else(place, monkeypatch, has_links):
    def refuse(*args):
        raise PermissionError("no hard links, as on a mounted drive")

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    first = id_in(str(place), "sizes")
    assert first.startswith("sizes-")
    assert id_in(str(place), "sizes") == first
    assert [path.name for path in place.iterdir()] == ["carbon_study_id.txt"]


def test_the_id_of_another_worker_is_taken(place, monkeypatch):
    real = Path.hardlink_to

    def second(self, target):
        self.write_text("sizes-of-another")
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", second)
    assert id_in(str(place), "sizes") == "sizes-of-another"
    assert [path.name for path in place.iterdir()] == ["carbon_study_id.txt"]

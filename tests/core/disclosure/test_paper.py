"""The paragraph, table and citation of the format paper, compiled by LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from core.disclosure.disclosed_runs import activity, disclosed
from core.disclosure.tex import compile_paper

from carbon_core.disclosure.activities import Disclosed, Hardware, Place
from carbon_core.disclosure.facts import Facts
from carbon_core.disclosure.formats import MissingFactsError, documents, format_of
from carbon_core.version import VERSION

NASTY = 'p|"\\_&%#{x}\n$~^ 日本 Zürich \\input{x} [a] *'
PLACE = Place("Île-de-France & Москва", "FRA", "", 50.0, "Ember_x", 2025, "lifecycle", 10.0, 0.5)
FIRST_LINE = "] after a row"


def runs(count: int = 2) -> Disclosed:
    named = activity(
        run_id="[run-1]", project=NASTY, places=(PLACE,), gpu_hours=16.0, pue=1.2,
        hardware=Hardware(gpu_models=("NVIDIA A100_SXM4 & 80GB",) * 2),
        methods=("nvml.energy", "a_b"), package_version="CodeCarbon 2.3_x",
    )  # fmt: skip
    more = [activity(run_id=f"*{i}", status="failed", project=FIRST_LINE) for i in range(count)]
    unknown = activity("", status="", run_id="", energy_kwh=None, emissions_kg=None)
    return disclosed(named, *more, unknown, activity("evaluation", part_of="[run-1]", counted=0.0))


def written(found: Disclosed, **facts: object) -> dict[str, str]:
    return dict(documents(format_of("paper"), found, Facts(facts)))


def test_the_paragraph_states_what_was_measured_how_and_for_which_grid() -> None:
    text = " ".join(written(runs())["txt"].split())
    assert text.startswith(
        "The 5 runs (3 trainings, 1 other run, 1 evaluation; 2 failed, 1 with an unknown end) consumed "
        "40.0 kWh (95 %: 32.0 to 50.0), that is 4.00 kg CO2e (95 %: 2.00 to 8.00)"
    )
    assert "Île-de-France & Москва: 50.0 g CO2e/kWh, Ember_x (2025)" in text
    assert (
        "CodeCarbon 2.3_x (nvml.energy, a_b), with a power usage effectiveness of 1.00, 1.20"
        in text
    )
    assert f"compiled with carbon-callbacks {VERSION}." in text
    assert "1 of 5 runs have an unknown energy, in no total." in text
    assert "Embodied" not in text
    assert "Market" not in text


def test_hardware_and_market_are_further_sentences() -> None:
    text = " ".join(
        written(runs(), embodied_table="gpu", market_g_per_kwh=20.0, market_source="a contract")[
            "txt"
        ].split()
    )
    assert re.search(r"Embodied emissions of the hardware, in no other figure, are \d", text)
    assert "Falk et al." in text
    assert "Market-based emissions are 0.800 kg CO2e (95 %: 0.64 to 1.00) (a contract)." in text
    assert "4.00 kg CO2e (95 %: 2.00 to 8.00), location-based" in text


def test_a_single_run_is_named_by_its_project() -> None:
    text = written(disclosed(activity("", project="digits")))["txt"]
    assert text.startswith("The run of digits consumed 10.0 kWh")
    assert "It took 1 h" in " ".join(text.split())
    assert written(disclosed(activity("", project="digits")), model_name="m")["txt"].startswith(
        "The run of m consumed"
    )


def test_the_latex_paragraph_is_whole_and_cites_the_package() -> None:
    found = written(runs(), embodied_table="gpu", model_name="m" * 50)
    paragraph = " ".join(found["tex"].split("\n\n")[0].split())
    assert paragraph.endswith("1 of 5 runs have an unknown energy, in no total.")
    assert paragraph.count(r"~\cite{carbon_callbacks}") == 1
    assert "CO$_2$e" in paragraph


def test_each_run_is_a_row_and_many_are_one_of_their_kind() -> None:
    rows = re.findall(r"^    .*&.*\\\\$", written(runs())["tex"], re.MULTILINE)
    assert len(rows) == 1 + 5 + 1
    assert "{[}run-1{]}" in rows[1]
    assert "in {[}run-1{]}" in rows[5]
    rows = re.findall(r"^    .*&.*\\\\$", written(runs(100))["tex"], re.MULTILINE)
    assert len(rows) == 1 + 3 + 1
    assert rows[1].startswith("    101 runs &  & training")


def test_without_a_known_energy_nothing_is_written() -> None:
    with pytest.raises(MissingFactsError, match="energy"):
        written(disclosed(activity(energy_kwh=None, emissions_kg=None)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "count"), [("", 2), (r"\usepackage[T1]{fontenc}", 100)], ids=["OT1", "T1"]
)
def test_latex_and_bibtex_compile_it(tmp_path: Path, encoding: str, count: int) -> None:
    found = written(runs(count), model_name=NASTY, embodied_table="gpu", hardware=NASTY)
    compile_paper(tmp_path, found, encoding)

"""The text of `sacct`: a recorded one of Slurm 22.05, and each form of ids and energies."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbon_core.accounting.slurm_text import MOST_PROBLEMS, AccountedJob, lines_of, read
from carbon_core.errors import OutputError

# Slurm 22.05.8 of Debian 12 printed it; energies were put into its database.
RECORDED = Path(__file__).with_name("sacct_22_05.txt")
HEADER = "JobID|JobIDRaw|State|ElapsedRaw|NNodes|AllocCPUS|ConsumedEnergyRaw"


def jobs(*rows: str, header: str = HEADER) -> dict[str, AccountedJob]:
    return {job.job_id: job for job in read([header, *rows]).jobs}


def energy_of(*rows: str) -> float | None:
    (found,) = jobs(*rows).values()
    return found.energy_j


def test_the_recorded_text_is_read() -> None:
    found = read(RECORDED.read_text().splitlines())
    assert found.problems == ()
    by_id = {job.job_id: job for job in found.jobs}
    assert list(by_id) == ["1", "2_0", "2_1", "3", "5"]
    assert (by_id["1"].energy_j, by_id["1"].cluster) == (1_234_567.0, "alps")
    assert by_id["2_0"].raw_ids == ("4",)
    assert by_id["2_0"].energy_j is None
    assert by_id["2_1"].energy_j == 950.0
    assert by_id["3"].state == "CANCELLED by 0"
    assert (by_id["5"].state, by_id["5"].elapsed_s, by_id["5"].energy_j) == ("FAILED", 1.0, None)


@pytest.mark.parametrize(
    ("text", "joules"),
    [
        ("1234567", 1_234_567.0),
        ("0", None),
        ("", None),
        ("18446744073709551614", None),
        ("18446744073709551615", None),
        ("4294967294", None),
        ("4294967294.000000", None),
        ("18446744073709551616.00", None),
        ("4294967293", 4_294_967_293.0),
        ("18446744.07T", None),
        ("950", 950.0),
        ("4.57K", 4_570.0),
        ("1.23M", 1_230_000.0),
        ("7G", 7e9),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 400, None),
    ],
)
def test_each_form_of_an_energy(text: str, joules: float | None) -> None:
    assert energy_of(f"7|7|COMPLETED|10|1|2|{text}") == joules
    rows = jobs(f"7|{text}", header="jobid|consumedenergy")
    assert rows["7"].energy_j == joules
    assert rows["7"].is_rounded


def test_the_energy_of_a_job_is_its_own_then_that_of_extern_then_that_of_its_steps() -> None:
    steps = ["7.batch|7.batch|C|9|1|2|600", "7.0|7.0|C|5|1|2|200", "7.1|7.1|C|4|1|2|300"]
    extern = "7.extern|7.extern|C|10|1|2|700"
    assert energy_of("7|7|COMPLETED|10|1|2|800", *steps, extern) == 800
    assert energy_of("7|7|COMPLETED|10|1|2|0", *steps, extern) == 700
    # The script's step lasts as long as the two that it starts.
    assert energy_of("7|7|COMPLETED|10|1|2|0", *steps) == 600
    assert energy_of("7|7|COMPLETED|10|1|2|", *steps[1:]) == 500
    assert energy_of(*steps[1:]) == 500
    assert energy_of("7|7|COMPLETED|10|1|2|") is None


def test_a_script_that_slurm_counts_twice_is_noticed() -> None:
    steps = ["7.batch|7.batch|C|9|1|2|600", "7.0|7.0|C|5|1|2|200"]
    assert jobs("7|7|COMPLETED|10|1|2|800", *steps)["7"].counts_batch_twice
    assert not jobs("7|7|COMPLETED|10|1|2|700", *steps)["7"].counts_batch_twice
    assert not jobs("7|7|COMPLETED|10|1|2|600", *steps[:1])["7"].counts_batch_twice


def test_elements_of_an_array_are_jobs() -> None:
    found = jobs(
        "123_4|130|COMPLETED|10|1|2|5",
        "123_4.batch|130.batch|COMPLETED|10|1|2|5",
        "123_[5-9%2]|123|PENDING|0|1|2|",
    )
    assert found["123_4"].raw_ids == ("130",)
    assert found["123_4"].array == ("123", "4")
    assert found["123_[5-9%2]"].state == "PENDING"


def test_components_of_a_heterogeneous_job_are_one_job() -> None:
    found = jobs(
        "123+0|123|COMPLETED|10|1|2|500",
        "123+0.batch|123.batch|COMPLETED|10|1|2|500",
        "123+1|124|FAILED|12|3|6|700",
        "123+1.0|124.0|COMPLETED|12|3|6|700",
    )
    assert list(found) == ["123"]
    job = found["123"]
    assert job.raw_ids == ("123", "124")
    assert (job.energy_j, job.elapsed_s, job.nodes, job.cpus) == (1200, 12, 4, 8)
    assert job.state == "COMPLETED, FAILED"


def test_a_requeued_job_has_the_totals_of_its_attempts_and_the_last_state() -> None:
    job = jobs(
        "7|7|REQUEUED|10|2|4|100",
        "7.batch|7.batch|CANCELLED|10|1|4|100",
        "7|7|COMPLETED|20|2|4|200",
    )["7"]
    assert (job.attempts, job.energy_j, job.elapsed_s, job.nodes) == (2, 300, 30, 2)
    assert job.state == "COMPLETED"


def test_rows_of_several_files_count_once() -> None:
    row = "7|7|COMPLETED|10|1|2|100"
    found = read([HEADER, row, HEADER, row])
    assert found.problems == ()
    (job,) = found.jobs
    assert (job.energy_j, job.attempts) == (100, 1)


def test_the_same_id_of_two_clusters_is_two_jobs() -> None:
    found = read(["JobID|Cluster|ConsumedEnergyRaw", "7|a|1", "7|b|2", "7.0|a|3"])
    assert [(one.cluster, one.energy_j) for one in found.jobs] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [("00:00:05", 5), ("1-02:03:04", 93_784), ("02:03", 123), ("00:01.500", 1), ("", None),
     ("Unknown", None)],
)  # fmt: skip
def test_durations_are_read_in_both_forms(elapsed: str, seconds: float | None) -> None:
    found = jobs(f"7|{elapsed}|1", header="JobID|Elapsed|ConsumedEnergyRaw")
    assert found["7"].elapsed_s == seconds


def test_separators_at_the_end_and_in_names_are_understood() -> None:
    assert jobs("7|1|", header="JobID|ConsumedEnergyRaw|")["7"].energy_j == 1
    assert jobs("7||", header="JobID|ConsumedEnergyRaw|")["7"].energy_j is None
    named = "JobName|JobID|ConsumedEnergyRaw"
    assert jobs("a|b|c|7|5", "d|8|6", header=named).keys() == {"7", "8"}


@pytest.mark.parametrize(
    "text",
    ["", "\n", "1|1|alps|COMPLETED|5|1|1|0", "JobID        JobIDRaw   ConsumedEnergyRaw",
     "JobID|State", "a,b\n1,2"],
)  # fmt: skip
def test_a_text_without_the_header_is_refused_with_the_command_to_use(text: str) -> None:
    with pytest.raises(OutputError, match="sacct --parsable2 --format=JobID"):
        read(text.split("\n"))


def test_rows_that_cannot_be_used_are_named_and_the_others_are_read() -> None:
    found = read([HEADER, "7|7|COMPLETED|10|1|2|100|x|y", "x\x1b[31m|x|C|1|1|1|1", "8|8|C|1|1|2|3"])
    assert [job.job_id for job in found.jobs] == ["8"]
    assert found.problems[0] == "row 2: 9 cells instead of 7"
    assert all(problem.isprintable() for problem in found.problems)
    many = read([HEADER, *(f"x{i}|1|C|1|1|1|1" for i in range(100))])
    assert len(many.problems) == MOST_PROBLEMS + 1
    assert many.problems[-1] == "80 more rows skipped"


def test_names_in_the_text_are_one_line() -> None:
    job = jobs("7|7|\x1b[31mBAD\u202e" + "x" * 500 + "|10|1|2|1")["7"]
    assert job.state.isprintable()
    assert len(job.state) <= 100


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_name_with_another_separator_is_in_one_row(separator: str, end: str) -> None:
    rows = ["JobID|JobName|ConsumedEnergyRaw", f"7|a{separator}b|100", f"8|{separator}|200", ""]
    found = read(lines_of(end.join(rows).encode()))
    assert {job.job_id: job.energy_j for job in found.jobs} == {"7": 100.0, "8": 200.0}
    assert found.problems == ()

"""The prose is plain: no area of the project has more words to avoid than its budget."""

import textwrap

import check_wording
import pytest

PLAIN = [
    "Reports the energy of a run to the logger of the framework.",
    "The device draws 300 W; the chart is drawn with Plotly, and a bar is drawn for each phase.",
    "Look up the zone in a look-up table; search for the file, or look for it.",
    "Denmark has two price areas. Energy is life-cycle or direct.",
    "The redirect leads to another host. If you want more, you know the setting.",
    "The process holds the lock. The counter is unknown, or the driver is a stand-in.",
    "By the terms of use, the outlook of a storyteller is unasked.",
]


@pytest.mark.parametrize("area", check_wording.BUDGETS)
def test_an_area_keeps_its_budget(area):
    found = [str(one) for one in check_wording.occurrences_in(area)]
    assert len(found) <= check_wording.BUDGETS[area], "\n".join(found)


@pytest.mark.parametrize("area", check_wording.BUDGETS)
def test_every_area_has_files(area):
    assert list(check_wording.files_of(area))


@pytest.mark.parametrize("rule", check_wording.RULES, ids=lambda rule: rule.word)
def test_every_word_is_found_wherever_prose_is(rule):
    text = f"Here, {rule.example}, and so on."
    places = {
        "a.py": [f'"""{text}"""\n', f'x = 1  # {text}\ny = f"{text}"\n'],
        "a.md": [f"# Title\n\n{text}\n", f'<img alt="{text}" src="a.png">\n'],
        "a.j2": [f"<p>{text}</p>", f'{{{{ tile("{text}") }}}}', f'<div aria-label="{text}"></div>'],
    }
    for path, contents in places.items():
        for content in contents:
            found = [one.rule for one in check_wording.occurrences(path, content)]
            assert rule in found, content


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_are_not_found(text):
    assert not list(check_wording.occurrences("a.md", text))
    assert not list(check_wording.occurrences("a.py", f'"""{text}"""\n'))


def test_code_is_not_checked():
    code = textwrap.dedent('''
        """Sends ``told`` and `says` to https://example.org/tell.

        Args:
            told: The totals.
        """
        # noqa: BLE001
        from urllib import request as asks
        told = asks.urlopen("told").looks(said=f"{nobody} kWh")
    ''')
    assert not list(check_wording.occurrences("a.py", code))
    document = (
        "```text\nit was not told\n```\n[a `told`](docs/told.md) <!-- tells --> <b id=told>\n"
    )
    assert not list(check_wording.occurrences("a.md", document))
    template = "<style>.told {}</style>{% if told %}<p id=told>{{ told.says }}</p>{% endif %}"
    assert not list(check_wording.occurrences("a.j2", template))


def test_a_label_of_one_word_is_found_and_a_key_is_not():
    found = list(check_wording.occurrences("a.py", 'row("together", record["told"])'))
    assert [one.text for one in found] == ["together"]


def test_a_phrase_is_found_across_lines_and_literals_with_the_line_where_it_begins():
    code = textwrap.dedent('''
        def f():
            """Do it.

            The run goes
            on.
            """
            # It is carried
            # over.
            return (
                "one "
                "what was not "
                "told"
            )
    ''')
    found = [(one.line, one.rule.word) for one in check_wording.occurrences("a.py", code)]
    assert found == [(5, "go on"), (8, "carry over"), (13, "tell")]


@pytest.mark.slow
def test_a_count_above_the_budget_is_an_error(monkeypatch, capsys):
    budgets = {
        area: len(list(check_wording.occurrences_in(area))) for area in check_wording.BUDGETS
    }
    monkeypatch.setattr(check_wording, "BUDGETS", budgets)
    assert check_wording.main([]) == 0
    monkeypatch.setattr(check_wording, "BUDGETS", {**budgets, "html": budgets["html"] - 1})
    assert check_wording.main(["--summary"]) == 1
    assert f"html: {budgets['html']} (budget {budgets['html'] - 1})" in capsys.readouterr().out

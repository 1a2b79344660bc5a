"""Names of projects, processors and places in LaTeX."""
# ruff: noqa: RUF001 - letters and signs that look like others are what the tables are about

from __future__ import annotations

import re
from pathlib import Path

import pytest
from core.disclosure.tex import PDFTEX, compile_body
from hypothesis import example, given
from hypothesis import strategies as st

from carbon_core.disclosure.latex import LONGEST, OTHER_CHARACTER, text

NAMES = [
    "Intel(R) Xeon(R) Platinum 8480+ @ 2.00GHz",
    "NVIDIA A100-SXM4-80GB & friends",
    r"my_project 50% #1 $x^2$ ~{a} \input{/etc/passwd} \end{document}",
    "[h] after the end of a row",
    "*starred",
    "\"a \"o ``quoted'' ?` !` << >> a--b ---- ,,x | <tag>",
    "first\nsecond\r\\\\third\x00 ^^M ^^5c",
    "Île-de-France, Zürich, Åland, São Paulo, Łódź, Kraków, İzmir, Ðorðe, Œuvre, ½ µm², 5 °C",
    "日本語 Москва Ελλάδα 🚀 ąęį x\u0301\u0302 \u202eabc",
    "Việt Nam, Ţ, ş, ḏ",
    "\udcff",
    "%",
    "\\",
    "",
    "x" * 1000,
    "Intel® Core™ i7 – ‘a’ “b” …",
]


@pytest.mark.parametrize(
    ("foreign", "latex"),
    [
        ("a_b & c", r"a\_b \& c"),
        ("50%\nx", r"50\% x"),
        ("\\", r"\textbackslash{}"),
        ("[h]*", "{[}h{]}{*}"),
        ("a---b", "a-{}-{}-b"),
        ("Zürich", r"Z\"{u}rich"),
        ("naïve", r"na\"{\i}ve"),
        ("Việt", r"Vi\othercharacter{1EC7}{ệ}t"),
        ("ţ", r"\c{t}"),
        ("中", r"\othercharacter{4E2D}{中}"),
    ],
)
def test_special_characters_are_text(foreign: str, latex: str) -> None:
    assert text(foreign) == latex


def test_a_text_is_one_line_of_limited_length() -> None:
    assert text("a\n\r\x85\u2028 b") == "a b"
    assert text("x" * 5000, 5000) == "x" * 5000
    assert text("x" * 1000) == "x" * (LONGEST - 1) + r"\ldots{}"


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_balanced_and_no_special_character_is_bare(name: str) -> None:
    latex = text(name)
    without_escapes = re.sub(r"\\[{}$&#%_]", "", latex)
    assert without_escapes.count("{") == without_escapes.count("}")
    bare = re.sub(r"\\othercharacter\{[0-9A-F]+\}\{.\}", "", without_escapes)
    bare = re.sub(r"\\ensuremath\{[^}]*\}", "", re.sub(r"\\[`'^~\"=.]\{", "{", bare))
    assert re.search(r"[$&#%~^\"<>|`]|^\[|(?<!\\)_", bare) is None


# As babel does for German and other languages.
SHORTHAND = '\\catcode34=\\active \\def"{\\errmessage{a shorthand}}\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "encoding", "before"),
    [
        (PDFTEX, "", ""),
        (PDFTEX, r"\usepackage[T1]{fontenc}", SHORTHAND),
        ("lualatex", "", SHORTHAND),
    ],
    ids=["OT1", "T1", "LuaTeX"],
)
def test_latex_compiles_each_name_in_a_table(
    tmp_path: Path, engine: str, encoding: str, before: str
) -> None:
    rows = (f"{text(name)} & {text(name)} \\\\" for name in NAMES)
    table = (OTHER_CHARACTER, r"\begin{tabular}{ll}", *rows, r"\hline", r"\end{tabular}")
    compile_body(tmp_path, before + "\n".join(table), encoding, engine=engine)


# All that a text may consist of: characters without a meaning, escapes, groups and commands.
GRAMMAR = re.compile(
    r"(?:[A-Za-z0-9 !'()+,./:;=?@-]|\\[{}$&#%_]|\{\}|\{[\[\]*]\}|\\char(?:34|96)\{\}"
    r"|\\(?:text[a-z]+|ss|ae|AE|oe|OE|o|O|aa|AA|l|L|i|ldots)\{\}"
    r"|\\[`'^~\"=.]\{(?:[A-Za-z]|\\i|\\j)\}|\\[uvHcdbr]\{(?:[A-Za-z]|\\i|\\j)\}"
    r"|\\ensuremath\{(?:\\[a-z]+|[-]|[_^](?:\\circ|\d))\}"
    r"|\\othercharacter\{[0-9A-F]{2,6}\}\{[^\x00-\x7f]\})*"
)


@given(st.text(max_size=60))
@example("".join(map(chr, range(32, 0x250))))
@example("".join(NAMES))
def test_any_text_consists_of_harmless_parts(foreign: str) -> None:
    latex = text(foreign, 1000)
    assert GRAMMAR.fullmatch(latex), latex
    assert not re.search(r"--|,,|''|[?!]`", latex)

"""Writing emissions into a model card, which may be anybody's."""

from __future__ import annotations

from pathlib import Path

from carbon_core.errors import OutputError
from carbon_core.outputs.card_text import KEY, write_card_entry

SEEDS = (
    b"---\nlanguage: no # Norwegian\nlicense: mit\nco2_eq_emissions: 5 # old\ntags:\n- a\n---\n# Title\n",  # noqa: E501
    b"\xef\xbb\xbf---\r\nmodel-index:\r\n- name: x\r\n  results:\r\n  - task: {type: a}\r\n---\r\n",
    b"---\nco2_eq_emissions:\n  emissions: 1\n# c\n  source: &s 'a'\nother: *s\n---\nco2_eq_emissions: 1\n",  # noqa: E501
    b'---\na: &a [x, x]\nb: &b [*a, *a]\n? c\n: |\n  co2_eq_emissions: 5\n"co2_eq_emissions" : {a: 1}\n---\n',  # noqa: E501
    b"# no metadata\n---\na: 1\n---\n",
    b'---\n{a: 1, b: "x\nco2_eq_emissions: 2"}\n...\n---\n',
    b"---\n---\n",
)
DICTIONARY = (
    b"---\n", b"co2_eq_emissions:", b"'co2_eq_emissions':", b"\r\n", b"\r", b"\n", b"\t", b"- ",
    b" ", b"&a ", b"*a", b"!!python/object:os.system", b"|\n", b">\n", b"{", b"}", b"[", b"]",
    b"#", b"<<: ", b"? ", b": ", b"...\n", b"\xc2\x85", b"\xe2\x80\xa8", b"%YAML 1.1\n",
)  # fmt: skip
_ENTRY = {"emissions": 12.5, "source": "a: 'b' # \u2028\n", "geographical_location": "no"}

_STARTS = (KEY.encode(), f'"{KEY}"'.encode(), f"'{KEY}'".encode())


def run(data: bytes, directory: Path) -> None:
    """Write an entry: only its lines change, and doing so again changes nothing."""
    path = directory / "README.md"
    path.write_bytes(data)
    try:
        write_card_entry(path, _ENTRY)
    except OutputError as error:
        assert str(path) in str(error)
        assert path.read_bytes() == data
        return
    once = path.read_bytes()
    mark = b"\xef\xbb\xbf"  # it stays the first of all
    before = data.removeprefix(mark).splitlines(keepends=True)
    after = once.removeprefix(mark).splitlines(keepends=True)
    assert once.startswith(mark) == data.startswith(mark)
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    removed = before[head : len(before) - tail]
    assert all(line[:1] in b" \t-#\r\n" or line.startswith(_STARTS) for line in removed), removed
    assert b"".join(after[head : len(after) - tail]).count(KEY.encode()) <= 1
    write_card_entry(path, _ENTRY)
    assert path.read_bytes() == once


def _common(one: list[bytes], other: list[bytes]) -> int:
    """Return the number of common first lines."""
    most = min(len(one), len(other))
    return next((i for i in range(most) if one[i] != other[i]), most)

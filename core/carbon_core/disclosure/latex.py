"""Text of others as LaTeX text, which compiles with every engine and means nothing but itself."""
# ruff: noqa: RUF001 - letters and signs that look like others are what the tables are about

from __future__ import annotations

import re
import unicodedata

from carbon_core.escaping import one_line

# What a document has to define before text of `text`. LuaTeX and XeTeX print a character that the font
# has; otherwise, and with pdfTeX, its code is printed. A quotation mark may be active.
OTHER_CHARACTER = (
    r"\providecommand*{\othercharacter}[2]{\ifdefined\Uchar"
    r'\iffontchar\font\string"#1 #2\else{[}U+#1{]}\fi\else{[}U+#1{]}\fi}'
)
LONGEST = 100

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # Babel makes it an active character in German and other languages.
    '"': r"\char34{}",
    # It would be an accent, or with ? and ! another character.
    "`": r"\char96{}",
    # After the end of a row they would be an argument of it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
# Those that the text encoding of LaTeX without packages has, too.
_NAMED = {
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "å": r"\aa{}",
    "Å": r"\AA{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\ldots{}",
    "®": r"\textregistered{}",
    "™": r"\texttrademark{}",
    "©": r"\textcopyright{}",
    "µ": r"\ensuremath{\mu}",
    "μ": r"\ensuremath{\mu}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "·": r"\ensuremath{\cdot}",
    "°": r"\ensuremath{^\circ}",
    "²": r"\ensuremath{^2}",
    "³": r"\ensuremath{^3}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "−": r"\ensuremath{-}",
    "→": r"\ensuremath{\to}",
    "₂": r"\ensuremath{_2}",
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING DOT BELOW}": "d",
    "\N{COMBINING MACRON BELOW}": "b",
    "\N{COMBINING RING ABOVE}": "r",
}
# Two of one would be another character: a dash, a quotation mark.
_LIGATURE = re.compile(r"([-,'])(?=\1)")
# An empty group separates them. No text has this character.
_GROUP = "\0"
_BELOW = ("c", "d", "b")


def text(foreign: str, most: int = LONGEST) -> str:
    """Return text as LaTeX text: one line, no command, comment, cell, argument or ligature.

    Args:
        foreign: Any text, such as the name of a project, a processor or a place.
        most: Longest text in characters.
    """
    clean = " ".join(unicodedata.normalize("NFC", one_line(foreign, most + 1)).split())
    if len(clean) > most:
        clean = clean[: most - 1] + "…"
    return "".join(map(_character, _LIGATURE.sub(f"\\1{_GROUP}", clean)))


def _character(one: str) -> str:
    if one == _GROUP:
        return "{}"
    if one.isascii():
        return _SPECIAL.get(one, one)
    return _NAMED.get(one) or _accented(one) or f"\\othercharacter{{{ord(one):04X}}}{{{one}}}"


def _accented(one: str) -> str:
    """Return a Latin letter with one accent as LaTeX; an empty string for any other character."""
    parts = unicodedata.normalize("NFD", one)
    base, accent = parts[:1], _ACCENTS.get(parts[1:])
    if accent is None or not (base.isascii() and base.isalpha()):
        return ""
    # An accent above replaces the dot of these letters.
    base = f"\\{base}" if base in "ij" and accent not in _BELOW else base
    return f"\\{accent}{{{base}}}"

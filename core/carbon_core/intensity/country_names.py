"""Countries by name: in English, in their own languages, and as they are often abbreviated.

Imported only where a setting has a name in place of a code, or a code that does not exist.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from carbon_core.data import rows
from carbon_core.errors import ConfigError
from carbon_core.intensity.tables import country_name, region_code

# Longer texts are no name of a country; comparing them with all names would take seconds.
_LONGEST_NAME = 100
_MOST_SUGGESTIONS = 3
# Least share of equal letters, as difflib counts them: below that, every name has several neighbours.
_SIMILAR = 0.7
_DOTLESS_I = "\N{LATIN SMALL LETTER DOTLESS I}"
# Letters that Unicode does not decompose into a plain letter and an accent.
_PLAIN_LETTERS = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        _DOTLESS_I: "i",
        "ə": "e",
    }
)
_IGNORED_WORDS = frozenset({"the", "and"})
# What precedes "of" in the full name of a country: "Federal Republic of", "Grand Duchy of".
_FORMS = frozenset(
    {
        "arab", "bolivarian", "commonwealth", "co", "cooperative", "democratic", "duchy", "federal",
        "federative", "grand", "hashemite", "independent", "islamic", "kingdom", "operative", "oriental",
        "plurinational", "principality", "republic", "socialist", "state", "sultanate", "union",
        "united",
    }
)  # fmt: skip
_INVERTED = re.compile(r"\s*([^,(]+?)\s*[,(]\s*(.+?)\s*\)?\s*")


def code_of(name: str) -> str:
    """Return the ISO 3166-1 alpha-3 code of a country.

    Args:
        name: A name such as ``Poland``, ``polska`` or ``Korea, Republic of``; case, accents,
            punctuation, "the" and "and" do not matter.

    Raises:
        ConfigError: No country has this name, or several have it; the message lists near ones.
    """
    if len(name) > _LONGEST_NAME:
        raise ConfigError("no country has this name")
    known = _codes_by_key()
    for words in _readings(name):
        codes = known.get("".join(words), [])
        if len(codes) > 1:
            raise ConfigError(f"it is ambiguous: {_or(_labels(codes))}; set one of the codes")
        if codes:
            return codes[0]
    raise ConfigError(_unknown(name))


def problem_of(name: str) -> str:
    """Return why a name is not that of a country, with near names; an empty string if it is."""
    try:
        code_of(name)
    except ConfigError as error:
        return str(error)
    return ""


def near_countries(text: str) -> tuple[str, ...]:
    """Return up to three countries that a misspelt name or code may mean, best first.

    Returns:
        Code and name of each, such as ``FRA (France)``.
    """
    from difflib import get_close_matches  # for messages about mistakes only

    known = _codes_by_key()
    key = "".join(_words(text[:_LONGEST_NAME]))
    near = get_close_matches(key, known, 2 * _MOST_SUGGESTIONS, _SIMILAR)
    codes = dict.fromkeys(code for one in near for code in known[one])
    return tuple(_labels(codes))[:_MOST_SUGGESTIONS]


def _unknown(name: str) -> str:
    for country in ("USA", "CAN", "AUS", "CHN"):  # those with regions in the tables
        if len(name.strip()) > len(country) and region_code(country, name):
            return f"it is a region: set country_iso_code={country} and region={name.strip()!r}"
    near = _or(near_countries(name))
    return f"did you mean {near}?" if near else "no country has this name"


def _readings(name: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of a name: as written, in natural order, and without the form of government."""
    inverted = _INVERTED.fullmatch(name)
    natural = f"{inverted[2]} {inverted[1]}" if inverted else name
    for text in (name, natural):
        words = _words(text)
        yield words
        if "of" in words:
            at = words.index("of")
            if at and _FORMS.issuperset(words[:at]):
                yield words[at + 1 :]


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a name in lower case, without accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN_LETTERS)
    kinds = ((c, unicodedata.category(c)) for c in plain)
    letters = "".join(c for c, kind in kinds if kind[0] != "M" and kind != "Lm")
    words = re.findall(r"[^\W_]+", letters)
    return tuple("saint" if word == "st" else word for word in words if word not in _IGNORED_WORDS)


def _codes_by_key() -> dict[str, list[str]]:
    """Return the alpha-3 codes that each name may mean, mostly one, by the words of the name."""
    found: dict[str, list[str]] = {}
    for code, name in _names():
        key = "".join(_words(name))
        codes = found.setdefault(key, [])
        if key and code not in codes:  # Andorra's code is an ignored word
            codes.append(code)
    return found


def _names() -> Iterator[tuple[str, str]]:
    """Yield code and name of each name, and the codes as names of themselves."""
    for row in (*rows("grid_country"), *rows("grid_absent")):
        if len(row["iso3"]) == 3:
            for name in (row["name"], row["iso3"], row["iso2"]):
                if name:
                    yield row["iso3"], name
    for row in rows("country_name"):
        yield row["iso3"], row["name"]


def _labels(codes: Iterable[str]) -> list[str]:
    return [f"{code} ({country_name(code)})" for code in codes]


def _or(labels: Sequence[str]) -> str:
    """Return an enumeration with "or" before its last part."""
    return " or ".join(filter(None, [", ".join(labels[:-1]), *labels[-1:]]))

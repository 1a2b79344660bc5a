"""Countries by name: what is found, what is ambiguous, and what an error suggests."""
# ruff: noqa: RUF001 - letters that look like others are what is tested

from __future__ import annotations

import csv
import io

import pytest
from fresh_interpreter import loaded
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_core.config import kinds
from carbon_core.data import rows, text
from carbon_core.errors import ConfigError
from carbon_core.intensity import country_names
from carbon_core.intensity.country_names import code_of, near_countries
from carbon_core.intensity.tables import known_countries

AMBIGUOUS = {
    "Congo": {"COD", "COG"},
    "Guiana": {"GUF", "GUY"},
    "Guinea": {"GIN", "GNB", "GNQ"},
    "Korea": {"KOR", "PRK"},
    "Saint Martin": {"MAF", "SXM"},
    "Virgin Islands": {"VGB", "VIR"},
}


def parsed(value: str) -> str:
    code = kinds.country_code().parse(value)
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("code", ["PL", "POL", "pl", " Pol ", "us", "USA", "CO", "ZZ", "XYZ"])
def test_codes_stay_codes(code: str) -> None:
    assert parsed(code) == code.strip().upper()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("POL", "Poland, polska, POLSKA, Republic of Poland, Rzeczpospolita Polska, ＰＯＬ"),
        ("DEU", "Germany, Deutschland, DEUTSCHLAND, Federal Republic of Germany"),
        ("USA", "United States, the United States of America, U.S.A., U.S., Estados Unidos"),
        ("GBR", "United Kingdom, UK, U.K., Great Britain, England, Scotland, britain"),
        ("CIV", "Côte d'Ivoire, cote d ivoire, Côte d’Ivoire, Cote-d'Ivoire, Ivory Coast"),
        ("CIV", "COTE D'IVOIRE, Co\u0302te d'Ivoire"),
        ("NLD", "the Netherlands, Netherlands (the), Nederland, Holland"),
        ("ARE", "UAE, United Arab Emirates, Emirates"),
        ("AUT", "Österreich, osterreich, Oesterreich"),
        ("DNK", "Danmark, Kingdom of Denmark"),
        ("TUR", "Türkiye, Turkey, TÜRKİYE, turkiye, Republic of Türkiye"),
        ("CZE", "Czechia, Czech Republic, Česko"),
        ("BIH", "Bosnia & Herzegovina, Bosnia-Herzegovina, Bosna i Hercegovina"),
        ("KNA", "St. Kitts and Nevis, St Kitts & Nevis, Saint Kitts and Nevis"),
        ("KOR", "South Korea, Republic of Korea, 대한민국, 한국"),
        ("PRK", "North Korea, DPRK"),
        ("COD", "DR Congo, DRC, Democratic Republic of the Congo, Congo-Kinshasa"),
        ("COG", "Republic of the Congo, Congo-Brazzaville, Congo (Brazzaville)"),
        ("GIN", "Republic of Guinea, Guinée"),
        ("GNB", "Guinea-Bissau, guinea bissau"),
        ("CHN", "China, 中国, People's Republic of China, People’s Republic of China"),
        ("TWN", "Taiwan, Republic of China"),
        ("RUS", "Russia, Russian Federation, Россия, россия"),
        ("JPN", "Japan, 日本, Nippon"),
        ("IND", "India, Bharat, भारत, Republic of India"),
        ("GRC", "Greece, Ελλάδα, ΕΛΛΑΔΑ, Ελλάς, Hellas"),
        ("CHE", "Switzerland, Schweiz, Suisse, Svizzera, Svizra"),
        ("GEO", "Georgia, საქართველო"),
        ("IRL", "Ireland, Éire, Republic of Ireland"),
        ("UZB", "Uzbekistan, O'zbekiston, Oʻzbekiston, O‘zbekiston"),
        ("VNM", "Vietnam, Viet Nam, Việt Nam"),
        ("AZE", "Azerbaijan, Azərbaycan, Azerbaycan"),
        ("FRO", "Faroe Islands, Føroyar, Faeroe Islands"),
        ("SDN", "Sudan, the Sudan"),
        ("SSD", "South Sudan"),
        ("NER", "Niger"),
        ("DMA", "Dominica, Commonwealth of Dominica"),
        ("DOM", "Dominican Republic, República Dominicana"),
    ],
)
def test_names(code: str, names: str) -> None:
    for name in names.split(", "):
        assert parsed(f"  {name}\n") == code, name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Korea, Republic of", "KOR"),
        ("Korea (the Republic of)", "KOR"),
        ("Korea (the Democratic People's Republic of)", "PRK"),
        ("Iran (Islamic Republic of)", "IRN"),
        ("Tanzania, United Republic of", "TZA"),
        ("Bolivia (Plurinational State of)", "BOL"),
        ("Venezuela, Bolivarian Republic of", "VEN"),
        ("Micronesia (Federated States of)", "FSM"),
        ("Congo, The Democratic Republic of the", "COD"),
        ("Virgin Islands (U.S.)", "VIR"),
        ("Moldova, Republic of", "MDA"),
        ("Gambia, The", "GMB"),
    ],
)
def test_inverted_names_as_iso_lists_have_them(name: str, code: str) -> None:
    assert parsed(name) == code


def test_every_country_is_found_by_each_of_its_names() -> None:
    known = known_countries()
    own = [(row["iso3"], row["name"]) for row in rows("country_name")]
    by_key = country_names._codes_by_key()
    for code, name in {*known.items(), *own}:
        if name not in AMBIGUOUS:
            for written in (name, name.upper(), f"The {name.lower()} "):
                words = next(country_names._readings(written))
                assert by_key["".join(words)] == [code], written
    assert {code for code, _ in own} <= known.keys()
    assert len(own) == len(set(own))


def test_only_names_that_several_countries_share_are_ambiguous() -> None:
    known = country_names._codes_by_key()
    shared = {frozenset(codes) for codes in known.values() if len(codes) > 1}
    assert shared == {
        frozenset(codes | {"PNG"} if "GIN" in codes else codes) for codes in AMBIGUOUS.values()
    }


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_name_is_not_guessed(name: str) -> None:
    for written in (name, name.lower(), f"the {name}"):
        with pytest.raises(ConfigError, match="ambiguous") as caught:
            code_of(written)
        assert all(code in str(caught.value) for code in AMBIGUOUS[name])


@pytest.mark.parametrize(
    ("typo", "suggestion"),
    [
        ("Polnd", "POL (Poland)"),
        ("Deutchland", "DEU (Germany)"),
        ("Frnace", "FRA (France)"),
        ("Untied States", "USA (United States)"),
        ("Swizterland", "CHE (Switzerland)"),
        ("Cote d'Ivore", "CIV (Côte d'Ivoire)"),
        ("Guinea-Bisau", "GNB (Guinea-Bissau)"),
    ],
)
def test_a_typo_gets_a_suggestion(typo: str, suggestion: str) -> None:
    with pytest.raises(ConfigError) as caught:
        code_of(typo)
    assert str(caught.value).startswith(f"did you mean {suggestion}")


@pytest.mark.parametrize(
    "name", ["", " ", "the the", "zzzzzzzz", "840", "x" * 10**6, "(", ",", "\0"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no country has this name"):
        parsed(name)


def test_a_region_is_no_country() -> None:
    with pytest.raises(ConfigError, match="country_iso_code=USA and region='California'"):
        parsed("California")
    with pytest.raises(ConfigError, match="country_iso_code=CAN and region='Québec'"):
        parsed("Québec")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=120))
def test_any_text_is_a_country_or_an_error(name: str) -> None:
    try:
        assert code_of(name) in known_countries()
    except ConfigError as error:
        assert str(error).isprintable()


def test_near_countries() -> None:
    assert near_countries("Frnace") == ("FRA (France)",)
    assert near_countries("FR")[0] == "FRA (France)"
    assert len(near_countries("Republic")) <= 3
    assert near_countries("zzzzzzzz") == ()


def test_abbreviations_are_no_codes() -> None:
    codes = {row["iso2"] for row in (*rows("grid_country"), *rows("grid_absent"))}
    assert not kinds._ABBREVIATIONS & (codes | known_countries().keys())
    assert all(parsed(one) != one for one in kinds._ABBREVIATIONS)


def test_the_table_is_sorted_by_code() -> None:
    codes = [row["iso3"] for row in csv.DictReader(io.StringIO(text("country_name.csv")))]
    assert codes == sorted(codes)


def test_a_code_loads_no_names() -> None:
    code = (
        "from carbon_core.config.resolve import resolve\n"
        "assert resolve({'country_iso_code': 'FRA'}).settings.country_iso_code == 'FRA'\n"
    )
    assert "carbon_core.intensity.country_names" not in loaded(code)
    named = code.replace("'country_iso_code': 'FRA'", "'country_iso_code': 'France'")
    assert "carbon_core.intensity.country_names" in loaded(named)

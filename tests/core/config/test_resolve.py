"""Who wins, who raises, who warns; and that no secret gets out."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from pathlib import Path

import pytest

from carbon_core import ConfigError, EmissionsTracker, OutputMethod
from carbon_core.config.resolve import Resolution, check, resolve
from carbon_core.config.schema import KEYS
from carbon_core.config.secret_values import Secret

NAME = ".codecarbon.config"
SECRET = "hunter2-do-not-tell"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class Cascade:
    """The sources of one resolution, to be filled in by a test."""

    def __init__(self, home: Path, work: Path) -> None:
        self._home, self._work = home, work

    def resolve(
        self, arguments: dict[str, object], *, env: str = "", local: str = "", home: str = ""
    ) -> Resolution:
        """Resolve ``key=value`` lines of variables and files, and arguments."""
        for place, text in ((self._home, home), (self._work, local)):
            (place / NAME).write_text(f"[codecarbon]\n{text}\n", encoding="utf-8")
        pairs = (line.partition("=") for line in env.splitlines())
        environ = {f"CODECARBON_{key.upper()}": value for key, _, value in pairs}
        return resolve(arguments, environ=environ, home=self._home, directory=self._work)


@pytest.fixture
def cascade(home: Path, work: Path) -> Cascade:
    return Cascade(home, work)


# --- precedence ---


def test_each_source_overrides_the_ones_below(cascade: Cascade) -> None:
    all_four = {"env": "pue=3", "local": "pue=4", "home": "pue=5"}
    assert cascade.resolve({"pue": 2}, **all_four).settings.pue == 2
    assert cascade.resolve({}, **all_four).settings.pue == 3
    assert cascade.resolve({}, local="pue=4", home="pue=5").settings.pue == 4
    assert cascade.resolve({}, home="pue=5").settings.pue == 5
    assert cascade.resolve({}).settings.pue == 1.0


def test_sources_are_merged_key_by_key(cascade: Cascade) -> None:
    outcome = cascade.resolve(
        {"pue": 2}, env="wue=3", local="region=Ohio", home="on_csv_write=UPDATE"
    )
    assert outcome.settings.explicit() == {
        "pue": 2,
        "wue": 3,
        "region": "Ohio",
        "on_csv_write": "update",
    }


def test_none_as_an_argument_is_the_default_whatever_the_files_say(cascade: Cascade) -> None:
    outcome = cascade.resolve({"pue": None, "gpu_ids": None}, env="pue=3", local="gpu_ids=1")
    assert (outcome.settings.pue, outcome.settings.gpu_ids) == (1.0, None)
    assert outcome.settings.origin("pue").source == "argument"


def test_an_empty_variable_unsets_what_may_be_unset(cascade: Cascade) -> None:
    outcome = cascade.resolve({}, env="region=", local="region=Ohio")
    assert (outcome.settings.region, outcome.warnings) == (None, [])


def test_an_unknown_origin_is_a_key_error(cascade: Cascade) -> None:
    with pytest.raises(KeyError):
        cascade.resolve({}).settings.origin("no_such_key")


# --- arguments raise ---


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("measure_power_secs", "fast", "a number of seconds of at least 0.01 and at most 86400"),
        ("measure_power_secs", 0, "a number of seconds of at least 0.01 and at most 86400"),
        ("pue", 0.5, "a number of at least 1"),
        ("tracking_mode", "proc", "one of machine, process"),
        ("log_level", "loud", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("gpu_ids", ["all"], "a list of GPU indices"),
        ("api_call_interval", -2, "a whole number of at least 0, or -1"),
        ("save_to_file", "perhaps", "true or false"),
        ("country_iso_code", "Frnace", "a country: an ISO 3166 code such as FRA, or a name"),
        ("experiment_id", ["x"], "a UUID"),
        ("output_dir", "", "a path"),
        ("force_carbon_intensity_g_co2e_kwh", -5, "a number of gCO2e/kWh of at least 0"),
    ],
)
def test_a_bad_argument_raises_with_key_value_and_what_is_allowed(
    cascade: Cascade, key: str, value: object, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        cascade.resolve({key: value}, env="pue=2")
    text = str(caught.value)
    assert text.startswith(f"{key} must be {allowed}")
    assert f"got {value!r} (argument)" in text
    assert (caught.value.key, caught.value.origin) == (key, "argument")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("project_name", 7, "7"),
        ("experiment_id", 7, "7"),
        ("api_call_interval", 0, 0),
        ("emissions_endpoint", False, None),
        ("force_cpu_power", False, None),
        ("region", False, None),
        ("log_level", "warn", "WARN"),
        ("save_to_file", False, False),
    ],
)
def test_what_codecarbon_accepts_is_accepted(
    cascade: Cascade, key: str, value: object, expected: object
) -> None:
    assert getattr(cascade.resolve({key: value}).settings, key) == expected


@pytest.mark.parametrize("name", ["Poland", "polska", " POLSKA ", "POL"])
def test_a_country_by_name_in_every_source(cascade: Cascade, name: str) -> None:
    line = f"country_iso_code={name}"
    for given in ({"env": line}, {"local": line}, {"home": line}):
        resolution = cascade.resolve({}, **given)
        assert (resolution.settings.country_iso_code, resolution.warnings) == ("POL", [])
    given = cascade.resolve({"country_2letter_iso_code": name}).settings
    assert given.country_2letter_iso_code == "POL"


def test_a_mistyped_country_gets_a_suggestion_in_every_source(cascade: Cascade) -> None:
    hint = r"'Polnd' \(.*\); did you mean POL \(Poland\)\?"
    with pytest.raises(ConfigError, match=hint):
        cascade.resolve({"country_iso_code": "Polnd"})
    for given in ({"env": "country_iso_code=Polnd"}, {"local": "country_iso_code=Polnd"}):
        resolution = cascade.resolve({}, **given)
        (warning,) = resolution.warnings
        assert re.search(hint, warning)
        assert warning.endswith("this value is not used")
        assert resolution.settings.country_iso_code is None


@pytest.mark.parametrize(("interval", "every"), [(0, 1), (1, 1), (8, 8), (-1, None)])
def test_no_interval_is_every_reading(interval: int, every: int | None) -> None:
    tracker = EmissionsTracker(api_call_interval=interval)
    assert tracker.make_parts("run").live_every == every


def test_a_config_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="pue must be"):
        EmissionsTracker(pue="lots")


def test_an_unknown_argument_raises_with_a_suggestion(cascade: Cascade) -> None:
    with pytest.raises(
        ConfigError, match="there is no setting 'output_dirr'; did you mean 'output_dir'"
    ):
        cascade.resolve({"output_dirr": "x"})
    with pytest.raises(ConfigError, match=r"there is no setting 'zzz'$"):
        cascade.resolve({"zzz": 1})


def test_arguments_without_names_have_codecarbons_order() -> None:
    settings = EmissionsTracker("mine", 5, 4, "localhost:1").settings
    assert (settings.project_name, settings.measure_power_secs) == ("mine", 5)
    assert (settings.api_call_interval, settings.api_endpoint) == (4, "localhost:1")
    with pytest.raises(TypeError, match="at most 36"):
        EmissionsTracker(*[None] * 37)
    with pytest.raises(TypeError, match="given twice: project_name"):
        EmissionsTracker("mine", project_name="other")


# --- the others warn ---


def test_a_bad_variable_is_one_warning_and_the_next_lower_value_counts(
    cascade: Cascade, work: Path
) -> None:
    outcome = cascade.resolve({}, env="pue=abc", local="pue=1.5", home="pue=9")
    assert outcome.settings.pue == 1.5
    assert outcome.settings.origin("pue").place == f"{work / NAME} line 2"
    assert outcome.warnings == [
        "pue must be a number of at least 1, got 'abc' (environment CODECARBON_PUE); "
        "this value is not used"
    ]


def test_bad_values_all_the_way_down_leave_the_default(
    cascade: Cascade, home: Path, work: Path
) -> None:
    outcome = cascade.resolve({}, env="pue=a", local="pue=b", home="pue=c")
    assert (outcome.settings.pue, outcome.settings.origin("pue").source) == (1.0, "default")
    places = ("environment CODECARBON_PUE", f"{work / NAME} line 2", f"{home / NAME} line 2")
    assert [place in text for place, text in zip(places, outcome.warnings)] == [True] * 3


@pytest.mark.parametrize(
    ("key", "value", "default"),
    [
        ("measure_power_secs", "", 15),
        ("measure_power_secs", "-1", 15),
        ("measure_power_secs", "inf", 15),
        ("measure_power_secs", "1e400", 15),
        ("measure_power_secs", "1s", 15),
        ("measure_power_secs", "1_000", 15),
        ("pue", "abc", 1.0),
        ("pue", "nan", 1.0),
        ("tracking_mode", "bogus", "machine"),
        ("force_carbon_intensity_g_co2e_kwh", "-5", None),
        ("force_cpu_power", "nan", None),
    ],
)
def test_a_bad_variable_names_its_origin_and_the_default_counts(
    cascade: Cascade, key: str, value: str, default: object
) -> None:
    outcome = cascade.resolve({}, env=f"{key}={value}")
    assert getattr(outcome.settings, key) == default
    assert len(outcome.warnings) == 1
    assert outcome.warnings[0].startswith(f"{key} must be ")
    assert f"environment CODECARBON_{key.upper()}" in outcome.warnings[0]


def test_an_unknown_key_is_one_warning_with_a_suggestion(cascade: Cascade, work: Path) -> None:
    outcome = cascade.resolve({}, local="tracking_mod = process")
    assert outcome.warnings == [
        f"{work / NAME} line 2: there is no setting 'tracking_mod', "
        "it is ignored; did you mean 'tracking_mode'?"
    ]


def test_strict_config_raises_for_files_and_variables_too(cascade: Cascade) -> None:
    with pytest.raises(ConfigError, match="environment CODECARBON_PUE"):
        cascade.resolve({"strict_config": True}, env="pue=abc")
    with pytest.raises(ConfigError, match="no_such_key"):
        cascade.resolve({}, env="strict_config=yes", local="no_such_key=1")
    overridden = cascade.resolve({"strict_config": True, "pue": 2}, env="pue=abc")
    assert (overridden.settings.pue, overridden.warnings) == (2, [])


# --- deprecated names ---


def test_the_old_name_of_the_token_still_works_with_one_note(cascade: Cascade) -> None:
    outcome = cascade.resolve({}, env="co2_signal_api_token=new", home="co2_signal_api_token=old")
    assert outcome.settings.electricitymaps_api_token == "new"
    texts = [text for text, _ in outcome.deprecations]
    assert texts == [
        "co2_signal_api_token is deprecated (environment CODECARBON_CO2_SIGNAL_API_TOKEN); "
        "use electricitymaps_api_token"
    ]


def test_the_new_name_wins_wherever_it_stands(cascade: Cascade) -> None:
    outcome = cascade.resolve({"co2_signal_api_token": "old"}, home="electricitymaps_api_token=new")
    assert outcome.settings.electricitymaps_api_token == "new"


def test_an_old_name_as_argument_is_one_deprecation_warning_at_the_callers_line() -> None:
    with pytest.warns(DeprecationWarning, match="electricitymaps_api_token") as caught:
        tracker = EmissionsTracker(co2_signal_api_token=SECRET)
    assert tracker.settings.electricitymaps_api_token == SECRET
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    assert SECRET not in str(caught[0].message)


def test_an_old_name_in_a_variable_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_CO2_SIGNAL_API_TOKEN", SECRET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = EmissionsTracker()
    assert tracker.settings.electricitymaps_api_token == SECRET


# --- secrets ---

KEYS_OF_SECRETS = ["electricitymaps_api_token", "api_key"]


@pytest.mark.parametrize("key", KEYS_OF_SECRETS)
def test_a_secret_is_in_no_text_and_no_pickle(cascade: Cascade, key: str) -> None:
    outcome = cascade.resolve({key: SECRET})
    settings = outcome.settings
    assert getattr(settings, key) == SECRET
    texts = [
        repr(settings),
        str(settings),
        f"{settings}",
        repr(outcome),
        json.dumps(settings.shown()),
    ]
    assert [text for text in texts if SECRET in text] == []
    assert SECRET.encode() not in pickle.dumps(settings)
    assert settings.shown()[key] == "(hidden)"


def test_a_pickle_keeps_everything_but_the_secret(cascade: Cascade) -> None:
    settings = cascade.resolve({"pue": 2, "api_key": SECRET}, env="wue=1").settings
    thawed = pickle.loads(pickle.dumps(settings))
    assert (thawed.pue, thawed.wue, thawed.api_key) == (2, 1, None)
    assert str(thawed.origin("wue")) == "environment CODECARBON_WUE"
    assert copy.deepcopy(settings) is settings


SECRET_QUERIES = ["?api_key=planted", "?token=planted", "/take?a=1&access_token=planted#planted"]


@pytest.mark.parametrize("query", SECRET_QUERIES)
@pytest.mark.parametrize("address", ["http://host:1", "host:1", "https://me:planted@host/x"])
def test_the_query_of_an_address_is_hidden_like_its_password(
    cascade: Cascade, address: str, query: str
) -> None:
    given = f"{address}{query}"
    settings = cascade.resolve({"emissions_endpoint": given}).settings
    assert settings.emissions_endpoint == given
    assert "host" in settings.shown()["emissions_endpoint"]
    for text in (repr(settings), str(settings.shown()), repr(pickle.dumps(settings))):
        assert "planted" not in text
    with pytest.raises(ConfigError) as caught:
        cascade.resolve({"emissions_endpoint": f"http://a b{query}"})
    assert "planted" not in str(caught.value)


def test_a_loaded_tracker_finds_the_secrets_of_files_and_variables_again(
    home: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was an argument is in no checkpoint, and nowhere to be found.
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    write = (home / ".codecarbon.config").write_text
    write("[codecarbon]\nemissions_endpoint = http://me:pass@host/?key=1\npue = 1.5\n")
    monkeypatch.setenv("CODECARBON_ELECTRICITYMAPS_API_TOKEN", "sesame")
    tracker = EmissionsTracker(api_key="argument", prometheus_password="argument")
    text = pickle.dumps(tracker)
    write("[codecarbon]\nemissions_endpoint = http://me:pass@host/?key=2\npue = 1.2\n")
    loaded = pickle.loads(text).settings
    assert loaded.electricitymaps_api_token == "sesame"
    assert loaded.emissions_endpoint == "http://me:pass@host/?key=2"
    assert str(loaded.origin("electricitymaps_api_token")).startswith("environment")
    assert (loaded.api_key, loaded.prometheus_password) == (None, None)
    assert loaded.pue == 1.5, "what is no secret is as it was"
    write("[codecarbon]\nemissions_endpoint = http://elsewhere/?key=3\n")
    assert pickle.loads(text).settings.emissions_endpoint == "http://host/"
    assert copy.deepcopy(tracker).settings.api_key == "argument"


@pytest.mark.parametrize("key", [name for name, key in KEYS.items() if key.secret])
@pytest.mark.parametrize("empty", ["", "  ", '""'])
def test_an_empty_secret_is_none_wherever_it_comes_from(
    cascade: Cascade, work: Path, key: str, empty: str
) -> None:
    assert getattr(cascade.resolve({key: empty}).settings, key) is None
    assert getattr(cascade.resolve({}, env=f"{key}={empty}").settings, key) is None
    file = work / ".codecarbon.config"
    file.write_text(f"[codecarbon]\n{key} = {empty}\n")
    file.chmod(0o644)
    resolution = cascade.resolve({})
    assert getattr(resolution.settings, key) is None
    assert resolution.warnings == [], "the file contains no secret that others could read"


def test_an_empty_variable_of_a_service_is_no_secret() -> None:
    secret = Secret("logfire_token", "logfire_url", "LOGFIRE_TOKEN")
    settings = resolve({}, environ={}).settings
    assert secret.value(settings, {"LOGFIRE_TOKEN": " "}) is None
    assert secret.value(settings, {"LOGFIRE_TOKEN": "x"}) == "x"


@pytest.mark.parametrize("key", [*KEYS_OF_SECRETS, "co2_signal_api_token"])
def test_a_secret_of_the_wrong_type_is_in_no_exception(cascade: Cascade, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cascade.resolve({key: [SECRET]})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert "(hidden)" in str(caught.value)


def test_a_tracker_does_not_tell_its_secrets() -> None:
    tracker = EmissionsTracker(api_key=SECRET)
    assert SECRET not in repr(tracker)
    assert SECRET not in str(vars(tracker))
    assert SECRET.encode() not in pickle.dumps(tracker)


def test_the_result_files_hold_no_secret(tmp_path: Path) -> None:
    with EmissionsTracker(output_dir=tmp_path, api_key=SECRET, log_level="ERROR"):
        pass
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


# --- a secret goes only where a source at least as trusted says ---


@pytest.fixture
def live(home: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Return a function: whether a tracker with these files and variables would ask a live source."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)

    def asks(arguments: dict[str, object], *, home_text: str = "", local_text: str = "") -> bool:
        (home / NAME).write_text(f"[codecarbon]\n{home_text}\n", encoding="utf-8")
        (work / NAME).write_text(f"[codecarbon]\n{local_text}\n", encoding="utf-8")
        (home / NAME).chmod(0o600)
        (work / NAME).chmod(0o600)
        parts = EmissionsTracker(**arguments).make_parts("run")
        parts.messages.deliver()
        return parts.live is not None

    return asks


TOKEN_LINE = f"electricitymaps_api_token = {SECRET}"
ELSEWHERE_LINE = "electricitymaps_url = https://elsewhere.example"


def test_a_token_from_the_home_file_does_not_go_where_the_working_directory_says(
    live, caplog: pytest.LogCaptureFixture
) -> None:
    assert not live({}, home_text=TOKEN_LINE, local_text=ELSEWHERE_LINE)
    warnings = [r.getMessage() for r in caplog.records if "electricitymaps_url" in r.getMessage()]
    assert len(warnings) == 1
    assert SECRET not in warnings[0]


def test_a_token_goes_where_its_own_source_or_a_higher_one_says(live) -> None:
    assert live({}, home_text=TOKEN_LINE)
    assert live({}, home_text=f"{TOKEN_LINE}\n{ELSEWHERE_LINE}")
    trusted = {"trust_local_config": True}
    assert live(trusted, local_text=f"{TOKEN_LINE}\n{ELSEWHERE_LINE}")
    assert live({"electricitymaps_url": "https://elsewhere.example"}, home_text=TOKEN_LINE)


def test_a_token_by_argument_does_not_go_where_a_file_says(live) -> None:
    assert not live({"electricitymaps_api_token": SECRET}, local_text=ELSEWHERE_LINE)


# --- which outputs are asked for ---


@pytest.mark.parametrize(
    ("arguments", "outputs"),
    [
        ({}, {"csv"}),
        ({"save_to_file": False}, set()),
        ({"save_to_api": True}, {"csv", "api"}),
        ({"output_methods": ""}, set()),
        ({"output_methods": ["api"], "save_to_file": True}, {"api"}),
        ({"output_methods": [OutputMethod.CSV, "prometheus"]}, {"csv", "prometheus"}),
        ({"output_methods": None, "save_to_logfire": True}, {"csv", "logfire"}),
    ],
)
def test_output_methods_decide_else_each_save_to(
    cascade: Cascade, arguments: dict[str, object], outputs: set[str]
) -> None:
    assert cascade.resolve(arguments).settings.outputs() == outputs


def test_save_to_beside_output_methods_is_one_deprecation_each(cascade: Cascade) -> None:
    arguments = {"output_methods": ["csv"], "save_to_file": False}
    outcome = cascade.resolve(arguments, env="save_to_api=true")
    assert [text for text, _ in outcome.deprecations] == [
        "save_to_file is deprecated (argument); output_methods overrides it; remove it",
        "save_to_api is deprecated (environment CODECARBON_SAVE_TO_API); output_methods overrides it; "
        "remove it",
    ]
    assert cascade.resolve({"save_to_file": False}).deprecations == []


def test_settings_that_come_to_nothing_are_named(cascade: Cascade) -> None:
    assert cascade.resolve({"output_methods": ["csv", "api"]}).settings.unused() == []
    assert cascade.resolve({"rapl_prefer_psys": True}).settings.unused() == ["rapl_prefer_psys"]


# --- what a value overrode ---


def test_an_origin_knows_what_it_overrode(cascade: Cascade, home: Path, work: Path) -> None:
    outcome = cascade.resolve({"pue": 4}, home="pue=1", local="wue=1\npue=bad", env="pue=3")
    origin = outcome.settings.origin("pue")
    assert list(map(str, origin.overrode)) == [
        "environment CODECARBON_PUE",
        f"{work / NAME} line 3",
        f"{home / NAME} line 2",
    ]
    assert origin.history.startswith("argument (over environment CODECARBON_PUE, ")
    assert outcome.settings.origin("wue").history == f"{work / NAME} line 2"


# --- every mistake at once ---


def test_check_tells_overridden_mistakes_and_deprecated_names_too(home: Path, work: Path) -> None:
    (home / NAME).write_text("[codecarbon]\npue=abc\nco2_signal_api_token=x\n")
    (home / NAME).chmod(0o600)
    found = check(environ={"CODECARBON_PUE": "2"}, home=home, directory=work)
    assert [text.split(" (")[0] for text in found] == [
        "pue must be a number of at least 1, got 'abc'",
        "co2_signal_api_token is deprecated",
    ]
    assert check(environ={"CODECARBON_PUE": "2"}, home=home / "away", directory=work) == []

"""What LightningCLI must be able to do with the callback, in both packages."""

import sys
from pathlib import Path
from typing import Any

import pytest

from carbon_core.config.schema import ALIASES, KEYS

yaml = pytest.importorskip("yaml")

FILE = "[codecarbon]\npue = 1.5\nmeasure_power_secs = 10\n"


class LightningCliContract:
    """Set `package` and `callback` (the path of its class)."""

    package: str
    callback: str

    @pytest.fixture(autouse=True)
    def _sources(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("jsonargparse")
        (place / ".codecarbon.config").write_text(FILE)
        monkeypatch.setenv("CODECARBON_WUE", "0.5")

    def cli(self, *args: str) -> Any:
        """Return the callback of the Trainer that LightningCLI makes."""
        modules = pytest.importorskip(f"{self.package}.cli")
        boring = pytest.importorskip(f"{self.package}.demos.boring_classes")
        with pytest.MonkeyPatch.context() as patch:
            # As a program is started; help is not cut to the width of a terminal.
            patch.setattr(sys, "argv", ["train.py", *args])
            patch.setenv("COLUMNS", "1000")
            cli = modules.LightningCLI(
                boring.BoringModel,
                boring.BoringDataModule,
                run=False,
                save_config_callback=None,
                trainer_defaults={"accelerator": "cpu", "logger": False},
            )
        (found,) = [one for one in cli.trainer.callbacks if "Emissions" in type(one).__name__]
        return found

    def printed(self, capsys: pytest.CaptureFixture[str], *args: str) -> str:
        """Return what LightningCLI prints and exits."""
        with pytest.raises(SystemExit) as ended:
            self.cli(*args)
        said = capsys.readouterr()
        assert ended.value.code == 0, said.err
        return said.out

    def appended(self, **arguments: str) -> list[str]:
        first = f"--trainer.callbacks+={self.callback}"
        return [first, *(f"--trainer.callbacks.{name}={v}" for name, v in arguments.items())]

    def arguments_of(self, callback: Any) -> dict[str, Any]:
        """Return the settings that came from arguments."""
        settings = callback._training.tracker.settings
        assert (settings.pue, settings.wue) == (1.5, 0.5), "file and variable count"
        from_arguments = (k for k in KEYS if settings.origin(k).source == "argument")
        return {name: getattr(settings, name) for name in from_arguments}

    def test_init_args_in_a_file_are_settings(self, place: Path) -> None:
        init_args = {
            "country_iso_code": "FRA",
            "gpu_ids": [0, 1],
            "journal": False,
            "output_methods": ["csv"],
            "metadata": {"header": {"licensing": "MIT"}},
            "progress_bar": False,
            "log_metrics": ["energy_kwh", "power_w"],
            "name": "mine",
        }
        entry = {"class_path": self.callback, "init_args": init_args}
        Path("config.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [entry]}}))
        callback = self.cli("--config=config.yaml", "--trainer.callbacks.country_iso_code=DEU")
        assert self.arguments_of(callback) == {
            "country_iso_code": "DEU",
            "gpu_ids": [0, 1],
            "journal": False,
            "output_methods": ["csv"],
            "metadata": {"header": {"licensing": "MIT"}},
            "progress_bar": False,
            "log_metrics": ["energy_kwh", "power_w"],
        }
        assert callback.state_key == "EmissionsCallback{'name': 'mine'}"

    def test_a_printed_configuration_has_every_argument_and_gives_the_same_callback(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = self.appended(region="Bretagne", measure_power_secs="5", log_level="ERROR")
        text = self.printed(capsys, *given, "--print_config")
        (entry,) = yaml.safe_load(text)["trainer"]["callbacks"]
        init_args = entry["init_args"]
        assert {*KEYS, *ALIASES} < init_args.keys()
        assert init_args["forecast"] is init_args["sync"] is True
        assert (init_args["progress_bar"], init_args["name"]) == ("UNSET", None)
        assert (init_args["region"], init_args["pue"]) == ("Bretagne", "UNSET")
        Path("printed.yaml").write_text(text)
        expected = {"region": "Bretagne", "measure_power_secs": 5, "log_level": "ERROR"}
        assert self.arguments_of(self.cli("--config=printed.yaml")) == expected

    def test_the_callback_s_help_explains_its_arguments(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = " ".join(self.printed(capsys, f"--trainer.callbacks.help={self.callback}").split())
        for name in ("forecast", "improvement_of", "country_iso_code", "min_duration_s"):
            assert f"--trainer.callbacks.{name}" in text
        assert "Whether to forecast the energy of the whole training." in text
        assert "State or province within the country, by name or code." in text

    @pytest.mark.parametrize("mistake", [{"contry_iso_code": "FRA"}, {"pue": "much"}])
    def test_a_mistake_ends_the_program_before_anything_runs(
        self, mistake: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            self.cli(*self.appended(**mistake))
        assert ended.value.code == 2
        assert next(iter(mistake)) in capsys.readouterr().err

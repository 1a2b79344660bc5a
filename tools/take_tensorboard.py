"""Takes the picture of TensorBoard: trains a network, and captures its curves and those of its energy.

Requires Chromium, and the packages that `nox -s pictures` installs. The figures depend on the machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import torch
from digits import load
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from lightning_digits import Classifier
from playwright.sync_api import sync_playwright
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.lightning import EmissionsCallback

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "tensorboard.png"
EPOCHS = 12
SIZE = {"width": 1180, "height": 760}
SHOWN = "accuracy|carbon/energy_kwh$|carbon/emissions_kg$|carbon/power_w$"


def train(output: Path) -> None:
    """Train on handwritten digits, with TensorBoard's logger."""
    seed_everything(0, verbose=False)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, load())
    callback = EmissionsCallback(
        project_name="digits", country_iso_code="FRA", output_dir=str(output), measure_power_secs=1
    )
    trainer = Trainer(
        max_epochs=EPOCHS,
        logger=TensorBoardLogger(output, name="digits"),
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(
        Classifier(),
        DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x_val, y_val), batch_size=450),
    )


def photograph(url: str, chromium: str) -> None:
    """Capture the charts of a TensorBoard."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
        page.goto(f"{url}?tagFilter={quote(SHOWN, safe='')}&smoothing=0&darkMode=false#timeseries")
        page.locator("line-chart").nth(1).wait_for()
        page.get_by_text("Enable step selection").click()
        page.locator(".settings-button").click()
        page.wait_for_timeout(3000)  # the curves are drawn by a worker, which reports nothing
        page.screenshot(path=PICTURE)
        browser.close()


def main(chromium: str = "/usr/bin/chromium") -> None:
    """Train, start TensorBoard and capture it."""
    with tempfile.TemporaryDirectory() as directory:
        train(Path(directory))
        board = [sys.executable, "-m", "tensorboard.main", "--logdir", directory, "--port", "0"]
        server = subprocess.Popen(
            [*board, "--host", "127.0.0.1"], stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stderr is not None
            found = (re.search(r"http://127.0.0.1:\d+/", line) for line in server.stderr)
            photograph(next(filter(None, found))[0], chromium)
        finally:
            server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:2])

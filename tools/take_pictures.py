"""Takes the screenshots of the documents: trains three networks and captures their HTML report.

Requires Chromium, and the packages that `nox -s pictures` installs. The figures depend on the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from digits import load
from lightning.pytorch import Trainer, seed_everything
from lightning_digits import Classifier
from playwright.sync_api import sync_playwright
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from carbon_callbacks.lightning import EmissionsCallback

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "images"
WIDTHS = (48, 64, 96)
EPOCHS = 8
SIZE = {"width": 1100, "height": 900}
MARGIN = 24


def train(output: Path, width: int) -> None:
    """Train a convolutional network whose layers have `width` channels."""
    seed_everything(0, verbose=False)
    x_train, y_train, x_val, y_val = map(torch.from_numpy, load())
    model = Classifier()
    model.net = nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 4 * width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4 * width, 4 * width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * width * 64, 10),
    )
    callback = EmissionsCallback(
        project_name="digits", country_iso_code="FRA", output_dir=str(output), measure_power_secs=5
    )
    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(
        max_epochs=EPOCHS, callbacks=[callback], enable_checkpointing=False, **options
    )
    trainer.fit(
        model,
        DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x_val, y_val), batch_size=450),
    )


def photograph(page_path: Path) -> None:
    """Capture a page down to the power of the newest run, in both themes."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        sys.exit("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme, viewport=SIZE, device_scale_factor=1.5)
            page.goto(page_path.as_uri())
            page.wait_for_selector("html[data-drawn]")
            power = page.locator("#run .chart").first.bounding_box()
            height = power["y"] + power["height"] + MARGIN
            clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
            page.screenshot(path=PICTURES / f"report-{scheme}.png", full_page=True, clip=clip)
        browser.close()


def main() -> None:
    """Train the networks, write the report and capture it."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory)
        for width in WIDTHS:
            train(output, width)
        page = output / "report.html"
        command = Path(sys.executable).with_name("carbon-callbacks")
        subprocess.run([command, "report", output, "--html", page], check=True)
        photograph(page)


if __name__ == "__main__":
    main()

"""Take a picture of a page with an installed Chromium: the README's picture of the site is made this way."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from experiments.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120.0


def browser() -> str | None:
    """Return the path of an installed Chromium; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def take(page: Path, picture: Path, width: int = 1200, height: int = 980) -> None:
    """Write a PNG of the top of a page, in pixels of the screen.

    Raises:
        UserError: there is no Chromium, or it made no picture.
    """
    path = browser()
    if path is None:
        raise UserError("a picture needs Chromium, which is not installed; `apt-get install chromium` brings it on Debian.")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "page.png"
        words = [
            path,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        words += ["--force-device-scale-factor=1", f"--window-size={width},{height}", f"--screenshot={made}"]
        try:
            subprocess.run([*words, page.resolve().as_uri()], capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(f"Chromium has not taken a picture of {page} within {SECONDS:.0f} s; try again.") from None
        if not made.exists():
            raise UserError(f"Chromium ({path}) took no picture of {page}.")
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, picture)

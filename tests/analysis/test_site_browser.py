"""The site in a real headless Chromium: what it loads, sorts, filters, and how it is read by keyboard, on a phone, in the dark.

Skipped where Chromium, its driver or selenium is not installed; `.ci/run` installs them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.readme import RESULTS
from analysis.site import content, picture, write
from experiments import catalog

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = picture.browser(), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium and chromium-driver are not installed")

PHONE = 390
# Relative luminance and contrast as WCAG 2 defines them, of every piece of text against what is behind it.
CONTRAST = """
const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!c.startsWith("rgba(0, 0, 0, 0")) return c; } return "rgb(255, 255, 255)"; };
let worst = [21, ""];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility()) continue;
  const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < worst[0]) worst = [ratio, e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 40)];
}
return worst;
"""
WHOLE = """
const done = arguments[0], images = [...document.images], width = () => document.documentElement.scrollWidth;
for (const image of images) image.loading = "eager";
Promise.allSettled(images.map((image) => image.decode())).then(() => {
  const shown = images.map((image) => [image.getAttribute("src"), image.complete && image.naturalWidth]);
  const folded = width();
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  done([shown, folded, width()]);
});
"""
FOCUSABLE = "a[href], button, input, select, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "site"
    write.write(content.collect(RESULTS), folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory(prefix="chromium-profile-") as profile:
        for word in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, Service(DRIVER))
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", _OFFLINE)
        yield driver
        driver.quit()


_OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


def look(browser: Any, page: Path, width: int = 1200, dark: bool = False) -> None:
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width <= PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())


def rows(browser: Any, table: str, column: int = 0) -> list[str]:
    """Return a column of a table as it stands, rows that are not shown left out."""
    script = (
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].filter((r) => r.checkVisibility())"
        ".map((r) => r.cells[arguments[1]].textContent.trim().replace(/\\s+/g, ' '))"
    )
    found: list[str] = browser.execute_script(script, table, column)
    return found


def test_pages_load_whole_without_a_network_and_fit_a_phone(browser: Any, site: Path) -> None:
    # All but the pages of experiments that nobody has run: those are alike, and three of them stand for the rest.
    ours = {f"{name}.html" for name in catalog.experiment_names()}
    pages = sorted(site.glob("*.html"))
    alike = [page for page in pages if page.name in ours and "<figure>" not in page.read_text()]
    wide, images = [], 0
    look(browser, site / "index.html", PHONE)
    for page in [page for page in pages if page not in alike[3:]]:
        browser.get(page.as_uri())
        shown, folded, unfolded = browser.execute_async_script(WHOLE)
        assert [source for source, width in shown if not width] == [], f"{page.name} does not show these"
        images += len(shown)
        if max(folded, unfolded) > PHONE:
            wide.append((page.name, folded, unfolded))
    assert wide == []
    assert images > len(list(RESULTS.glob("*/*/manifest.json")))
    assert browser.get_log("browser") == []


def test_filter_leaves_the_figures_that_were_asked_for(browser: Any, site: Path) -> None:
    look(browser, site / "index.html")
    everything = rows(browser, "#all-figures")
    told = browser.find_element("css selector", "form output")
    assert told.text == f"{len(everything)} of {len(everything)} shown"
    browser.find_element("id", "paper").send_keys("UPGD")
    upgd = rows(browser, "#all-figures")
    assert upgd == [one for one in everything if one.startswith("UPGD")] != []
    words = browser.find_element("id", "words")
    words.send_keys("permuted mnist")
    parts = zip(*(rows(browser, "#all-figures", column) for column in range(4)), strict=True)
    some = [" ".join(row) for row in parts]
    assert 0 < len(some) < len(upgd)
    assert all("permuted" in one.lower() and "mnist" in one.lower() for one in some)
    assert told.text == f"{len(some)} of {len(everything)} shown"
    words.send_keys("no such figure")
    assert rows(browser, "#all-figures") == []
    words.clear()
    words.send_keys(Keys.ENTER)  # must not send the form away
    browser.find_element("id", "paper").send_keys("all")
    assert rows(browser, "#all-figures") == everything


def test_a_column_sorts_by_number_both_ways_and_says_so(browser: Any, site: Path) -> None:
    look(browser, site / "stream_barrier.html")
    heading = browser.find_element("css selector", "section[aria-labelledby=preset-anchors] table.data th:nth-child(4)")
    assert heading.text.startswith("Ours")
    button = heading.find_element("tag name", "button")
    table = "section[aria-labelledby=preset-anchors] table.data"
    before = rows(browser, table, 3)

    def numbers() -> list[float]:
        return [float(one.replace(",", "").replace("\N{MINUS SIGN}", "-")) for one in rows(browser, table, 3)]

    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert numbers() == sorted(numbers())
    button.send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(numbers(), reverse=True)
    assert sorted(before) == sorted(rows(browser, table, 3))
    other = browser.find_element("css selector", f"{table} th:nth-child(1) button")
    other.click()
    assert heading.get_attribute("aria-sort") is None
    assert rows(browser, table, 0) == sorted(rows(browser, table, 0))


def test_empty_cells_stay_at_the_end_whichever_way(browser: Any, site: Path) -> None:
    look(browser, site / "stream_barrier.html")
    table = "section[aria-labelledby=preset-anchors] table.data"
    browser.execute_script(  # whichever results are there, this table then has an empty cell
        "const cell = document.querySelector(arguments[0]).tBodies[0].rows[1].cells[3];"
        "delete cell.dataset.value; cell.textContent = ''",
        table,
    )
    button = browser.find_element("css selector", f"{table} th:nth-child(4) button")
    for _ in range(2):
        button.click()
        ours = rows(browser, table, 3)
        assert ours[-1] == ""
        assert len(ours) > 2
        assert "" not in ours[:-1]


def test_everything_is_reached_by_keyboard_in_order_and_seen(browser: Any, site: Path) -> None:
    look(browser, site / "faq.html")
    focus = "const e = document.activeElement; return [e.outerHTML, getComputedStyle(e).outlineStyle, e.checkVisibility()]"
    wanted = browser.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.outerHTML)", FOCUSABLE)
    reached = []
    for _ in wanted:
        browser.switch_to.active_element.send_keys(Keys.TAB)
        html, outline, visible = browser.execute_script(focus)
        reached.append(html)
        assert visible
        assert outline != "none", f"no mark of the focus on {html}"
    assert reached == wanted
    look(browser, site / "index.html")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "content"
    browser.find_element("link text", "Questions").send_keys(Keys.ENTER)
    assert browser.current_url.endswith("faq.html")
    assert browser.find_element("css selector", "nav [aria-current]").text == "Questions"


def test_dark_is_dark_and_text_stands_out_in_both(browser: Any, site: Path) -> None:
    colours = {}
    for dark in (False, True):
        for name in ("index.html", "stream_barrier.html"):
            look(browser, site / name, dark=dark)
            browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            ratio, where = browser.execute_script(CONTRAST)
            assert ratio >= 4.5, f"{name}, {'dark' if dark else 'light'}: contrast {ratio:.2f} of {where}"
        style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        colours[dark] = browser.execute_script(style)
    assert colours[True][0] != colours[False][0]
    assert colours[True][1] != colours[False][1]


def test_a_picture_of_the_front_page_is_taken(site: Path, tmp_path: Path) -> None:
    picture.take(site / "index.html", tmp_path / "new/front.png", width=600, height=400)
    made = (tmp_path / "new/front.png").read_bytes()
    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(made[16:20], "big"), int.from_bytes(made[20:24], "big")) == (600, 400)
    # More than an empty page.
    assert len(made) > 5_000


def test_a_watched_page_says_that_there_is_something_newer_and_shows_it(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "experiment_names", lambda: ["stream_q_atari"])
    shutil.copytree(RESULTS / "stream_q_atari", tmp_path / "results/stream_q_atari")
    folder = tmp_path / "site"
    write.write(content.collect(tmp_path / "results", watched=True), folder)
    look(browser, folder / "stream_q_atari.html")
    note = browser.find_element("id", "fresh")
    ask = "const done = arguments[0]; look(); setTimeout(done, 300)"
    browser.execute_async_script(ask)
    assert note.text == ""
    (tmp_path / "results/stream_q_atari/anchors/finding.txt").write_text("It learns even sooner.")
    write.write(content.collect(tmp_path / "results", watched=True), folder)
    browser.execute_async_script(ask)
    assert note.text.startswith("There are newer results.")
    assert note.get_attribute("role") == "status"
    note.find_element("tag name", "button").click()
    assert "It learns even sooner." in browser.find_element("tag name", "main").text
    assert browser.get_log("browser") == []

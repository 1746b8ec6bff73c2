"""The page: sound by itself, and at work in a real browser against a real server."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("starlette")
from tests.clips import shades, write_clip
from tests.web import serving

PAGE = Path(__file__).parent.parent / "fomm_cli" / "web" / "page"


class Reader(HTMLParser):
    """Every tag of the page, with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed((PAGE / "index.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_takes_nothing_from_outside() -> None:
    for tag, given in Reader().tags:
        assert "style" not in given, "the policy forbids it"
        assert not any(name.startswith("on") for name in given)
        for name in ("src", "href"):
            assert (given.get(name) or "/page/").startswith("/page/"), (tag, given)
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", text), file.name


def test_everything_has_a_name_that_can_be_read_out() -> None:
    tags = Reader().tags
    labelled = {given.get("for") for tag, given in tags if tag == "label"}
    for tag, given in tags:
        if tag in {"input", "select", "textarea"} and given.get("type") != "checkbox":  # those stand in their labels
            assert given.get("aria-label") or given.get("id") in labelled, given
        if tag == "img":
            assert given.get("alt"), given


def test_the_script_knows_the_page() -> None:
    ids = {given["id"] for _, given in Reader().tags if "id" in given}
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    assert set(re.findall(r'\bat\("([^"$]+)"\)', script)) <= ids
    from fomm_cli.web.words import DEFAULTS

    assert set(DEFAULTS) - {"force-motion"} <= ids, "every setting has its control"


# ------------------------------------------------------------------------------------------------- a real browser

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
]


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Any]]:
    """`fomm web` in a process of its own: its address, the parent of its work folder, the process."""
    work = tmp_path_factory.mktemp("web") / "work"
    with serving(work, "--weights", str(tiny)) as (address, process):
        yield address, work, process


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    opened.set_page_load_timeout(60)
    opened.set_script_timeout(60)
    yield opened
    opened.quit()


def wait(browser: Any, script: str, seconds: float = 60) -> Any:
    """Until a JavaScript expression is true."""
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, f"{script}; {browser.get_log('browser')}"
        time.sleep(0.05)
    return found


def click(browser: Any, id: str) -> None:
    browser.find_element("id", id).click()


@pytest.mark.browser
def test_a_visitor_animates(server: tuple[str, Path, Any], browser: Any, tmp_path: Path) -> None:
    address, _, _ = server
    Image.new("RGB", (60, 60), (90, 120, 60)).save(tmp_path / "face.png")
    write_clip(tmp_path / "clip.mp4", shades(200, 32, 32))
    browser.get(address)
    wait(browser, "document.getElementById('engine').textContent")
    click(browser, "try")  # two clicks animate the example
    wait(browser, "!document.getElementById('preview').hidden && !document.getElementById('run').disabled")
    before = browser.execute_script("return document.getElementById('preview').src")
    slider = "document.getElementById('motion-scale')"
    browser.execute_script(f"{slider}.value = 2; {slider}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    wait(browser, f"document.getElementById('preview').src !== '{before}'")
    click(browser, "run")
    wait(browser, "document.getElementById('result').currentTime > 0.1")
    browser.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    click(browser, "copy")
    said = wait(browser, "document.getElementById('copied').textContent")
    assert said.startswith("fomm animate portrait.png driving.mp4 -o portrait-driving.mp4 --weights ")
    assert "--anchor first --motion-scale 2" in said
    for side, name in (("source", "face.png"), ("driving", "clip.mp4")):
        browser.find_element("css selector", f"#{side} input").send_keys(str(tmp_path / name))
        wait(browser, f"document.querySelector('#{side} .told').textContent.startsWith('{name}')")
    click(browser, "run")
    wait(browser, "!document.getElementById('cancel').hidden")
    browser.execute_script("document.getElementById('cancel').click()")
    wait(browser, "document.getElementById('cancel').hidden")
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(server: tuple[str, Path, Any], browser: Any, width: int) -> None:
    browser.set_window_size(width, 900)
    browser.get(server[0])
    wait(browser, "document.getElementById('engine').textContent")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_files_go_with_the_server(server: tuple[str, Path, Any], browser: Any) -> None:
    _, work, process = server
    assert len(list(work.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert list(work.iterdir()) == []

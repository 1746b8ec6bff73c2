"""Chromium in front of a real server: started once for all tests, and what they ask of a page."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fomm_cli.files.disk import ASSETS

if TYPE_CHECKING:
    from tests.web import Served

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
]


def film(path: Path, frames: int = 25) -> Path:
    """The bundled clip as a camera of Chromium plays it, over and over: YUV4MPEG2, 320 x 240."""
    import av
    from PIL import ImageOps

    with av.open(str(ASSETS / "driving.mp4")) as clip, path.open("wb") as out:
        out.write(b"YUV4MPEG2 W320 H240 F25:1 Ip A1:1 C420mpeg2\n")
        for _, frame in zip(range(frames), clip.decode(video=0), strict=False):
            wide = av.VideoFrame.from_image(ImageOps.pad(frame.to_image(), (320, 240)))
            out.write(b"FRAME\n" + wide.reformat(format="yuv420p").to_ndarray().tobytes())
    return path


@pytest.fixture(scope="session")
def starting(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`fomm web` with tiny weights; told to end, it leaves nothing behind."""
    pytest.importorskip("starlette")
    from tests.web import serving

    with serving(tmp_path_factory.mktemp("web") / "work", "--weights", str(tiny)) as served:
        yield served
        assert len(list(served.work.iterdir())) == 1
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 143
        assert list(served.work.iterdir()) == []


@pytest.fixture(scope="session")
def browser(starting: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium; it starts while the server does."""
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    folder = tmp_path_factory.mktemp("browser")
    camera, options = film(folder / "camera.y4m"), selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={folder}/user", f"--use-file-for-fake-video-capture={camera}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "saved")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    opened.set_page_load_timeout(60)
    opened.set_script_timeout(60)
    yield opened
    opened.quit()


@pytest.fixture(scope="session")
def server(starting: Served, browser: Any) -> str:
    """The address of the server once it serves."""
    return starting.address


def saved(browser: Any, name: str) -> Path:
    """Where a download goes."""
    return Path(browser.capabilities["chrome"]["userDataDir"]).parent / "saved" / name


def wait(browser: Any, script: str, seconds: float = 60) -> Any:
    """Until a JavaScript expression is true."""
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, f"{script}; {browser.get_log('browser')}"
        time.sleep(0.05)
    return found


def begin(browser: Any, address: str, width: int = 1280) -> None:
    browser.set_window_size(width, 1000)
    browser.get(address)
    wait(browser, "document.getElementById('engine').textContent")


def put(browser: Any, id: str, value: str) -> None:
    """Move a slider and let go of it."""
    found = f"document.getElementById('{id}')"
    events = "".join(f"{found}.dispatchEvent(new Event('{kind}', {{bubbles: true}}));" for kind in ("input", "change"))
    browser.execute_script(f"{found}.value = {value}; {events}")


def numbers(browser: Any, id: str) -> list[int]:
    return [int(each) for each in browser.find_element("id", id).get_property("value").split(",")]


def settled(browser: Any) -> None:
    """Nothing is said to have gone wrong, neither to the visitor nor to the browser."""
    wait(browser, "!document.getElementById('view').hasAttribute('aria-busy')")
    assert browser.find_element("id", "error").text == ""
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def click(browser: Any, id: str) -> None:
    browser.find_element("id", id).click()


def example(browser: Any, side: str, name: str) -> None:
    """Choose one of the examples of a card by what it is called."""
    choice = browser.find_element("css selector", f"#{side} .example")
    next(each for each in choice.find_elements("tag name", "option") if each.text == name).click()

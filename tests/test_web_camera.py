"""The Live tab: a real browser, whose camera plays a film, in front of a real server."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("selenium")
from selenium.webdriver import Keys

from fomm_cli.media.video import probe
from tests.browser import begin, click, saved, settled, wait
from tests.web import until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


OUT = "document.getElementById('live-out')"


def frames(browser: Any, count: int) -> None:
    """Until so many were painted since the start."""
    wait(browser, f"+{OUT}.dataset.frames >= {count}")


def pixels(browser: Any, canvas: str) -> list[int]:
    script = f"const c = document.getElementById('{canvas}');"
    found: list[int] = browser.execute_script(
        f"{script} return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    return found


COUNTED = """
    window.flying = window.most = 0;
    window.WebSocket = class extends WebSocket {
        send(data) {
            if (typeof data !== 'string') most = Math.max(most, ++flying);
            super.send(data);
        }
        set onmessage(hear) {
            super.onmessage = (event) => { flying -= typeof event.data !== 'string'; hear(event); };
        }
    };
"""


def test_a_camera_drives_it(server: str, browser: Any) -> None:
    begin(browser, server)
    browser.execute_script(COUNTED)
    click(browser, "try")
    click(browser, "go-live")
    click(browser, "live-start")
    frames(browser, 10)
    browser.find_element("tag name", "body").send_keys("x")
    wait(browser, "!document.getElementById('overlay').hidden")
    wait(browser, "document.getElementById('overlay').hidden")
    click(browser, "record")
    frames(browser, 50)
    told = wait(browser, "document.getElementById('live-pace').textContent")
    assert re.fullmatch(r"[\d.]+ fps · \d+ ms · \d+ % of frames passed over", told)
    assert browser.execute_script("return most") == 1, "one frame in flight"
    drawn = """
        const out = document.getElementById('live-out');
        const seen = out.getContext('2d').getImageData(0, 0, out.width, out.height).data;
        return [out.width, out.height, Math.max(...seen.filter((_, n) => n % 4 < 3)) > 100];
    """
    assert browser.execute_script(drawn) == [32, 32, True], "the network's picture is shown"
    click(browser, "record")
    until(saved(browser, "live.webm").is_file, what="the recording")
    assert probe(saved(browser, "live.webm")).frames, "it plays"
    click(browser, "live-start")
    wait(browser, "document.getElementById('record').disabled")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_what_is_sent_is_moved_the_anchor_is_sought_and_the_picture_pops_out(server: str, browser: Any) -> None:
    begin(browser, server)
    click(browser, "try")
    click(browser, "go-live")
    click(browser, "mirror")
    click(browser, "live-start")
    frames(browser, 3)
    browser.find_element("id", "self").send_keys(*[Keys.ARROW_LEFT] * 12, "+")
    assert browser.find_element("id", "zoom").get_property("value") == "1.1"
    frames(browser, 3 + int(browser.execute_script(f"return +{OUT}.dataset.frames")))
    assert max(pixels(browser, "own")[:3]) < 20, "the black beside the film comes in from the left"
    click(browser, "anchor-find")
    wait(browser, "document.getElementById('count').textContent === '5'")
    browser.find_element("css selector", "#source .example").click()
    wait(browser, "document.querySelector('#source .told').textContent.startsWith('portrait.png')")
    shown, page = pixels(browser, "live-out"), browser.current_window_handle
    click(browser, "pop-out")
    until(lambda: len(browser.window_handles) == 2, what="the window")
    browser.switch_to.window(next(each for each in browser.window_handles if each != page))
    wait(browser, "document.getElementById('clean')?.width === 32")
    assert len(browser.find_elements("css selector", "body *")) == 1, "nothing but the picture"
    browser.close()
    browser.switch_to.window(page)
    wait(browser, "document.getElementById('overlay').hidden", 30)
    assert pixels(browser, "live-out") != shown
    click(browser, "live-start")
    settled(browser)

"""The page at work: a real browser, with a camera that plays a film, in front of a real server.

All in one file, so that one test worker starts one browser.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("selenium")
from selenium.webdriver import ActionChains, Keys

from fomm_cli.files.disk import ASSETS
from fomm_cli.media.video import probe
from tests.browser import begin, click, example, numbers, put, saved, settled, wait
from tests.clips import shades, write_clip
from tests.web import SlowEngine, houses, listening, until

pytestmark = pytest.mark.browser


def test_a_visitor_animates(server: str, browser: Any, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), (90, 120, 60)).save(tmp_path / "face.png")
    write_clip(tmp_path / "clip.mp4", shades(200, 32, 32))
    begin(browser, server)
    click(browser, "try")  # two clicks animate the example
    wait(browser, "!document.getElementById('preview').hidden && !document.getElementById('run').disabled")
    before = browser.execute_script("return document.getElementById('preview').src")
    put(browser, "motion-scale", "2")
    wait(browser, f"document.getElementById('preview').src !== '{before}'")
    click(browser, "run")
    wait(browser, "document.getElementById('result').currentTime > 0.1")
    browser.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    click(browser, "copy")
    said = wait(browser, "document.getElementById('copied').textContent")
    assert said.startswith("fomm animate person.jpg person.mp4 -o person-person.mp4 --weights ")
    assert "--anchor first --motion-scale 2" in said
    click(browser, "save")
    until(saved(browser, "person-person.mp4").is_file, what="the download")
    assert probe(saved(browser, "person-person.mp4")).frames == 125
    for side, name in (("source", "face.png"), ("driving", "clip.mp4")):
        browser.find_element("css selector", f"#{side} input").send_keys(str(tmp_path / name))
        wait(browser, f"document.querySelector('#{side} .told').textContent.startsWith('{name}')")
    click(browser, "run")
    wait(browser, "!document.getElementById('cancel').hidden")
    browser.execute_script("document.getElementById('cancel').click()")
    wait(browser, "document.getElementById('cancel').hidden")
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_other_weights_are_picked_and_left_again(server: str, browser: Any) -> None:
    begin(browser, server)
    offered = [each.get_attribute("value") for each in browser.find_elements("css selector", "#weights option")]
    assert offered[:3] == ["", "face-128", "toon-128"], "those of --weights, and the bundled ones"
    click(browser, "try")
    put(browser, "end", "0.2")
    wait(browser, "document.getElementById('frame').max === '4'")
    assert browser.execute_script("return document.getElementById('preview').naturalWidth") == 32
    put(browser, "weights", "'toon-128'")
    wait(browser, "document.getElementById('preview').naturalWidth === 128")
    example(browser, "source", "portrait")
    told = "document.querySelector('#source .told').textContent"
    wait(browser, f"{told}.startsWith('portrait.png')")  # whom these weights know
    settled(browser)
    click(browser, "run")
    wait(browser, "document.getElementById('result').videoWidth === 128")
    example(browser, "driving", "nod, a motion file")  # which these weights have seen
    wait(browser, "document.getElementById('frame').max === '49'")
    settled(browser)
    example(browser, "driving", "person")
    put(browser, "weights", "''")
    wait(browser, "document.getElementById('preview').naturalWidth === 32")
    settled(browser)


def test_a_download_that_fails_says_why(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with houses(tmp_path / "work") as build, listening(build(fetch=True)) as address:
        begin(browser, address)
        away = browser.find_element("css selector", "#weights option[value=vox-256]")
        assert away.text == "vox-256: talking heads (VoxCeleb), to be downloaded"
        put(browser, "weights", "'vox-256'")
        told = wait(browser, "document.getElementById('error').textContent")
        assert told.startswith("vox-256 could not be fetched.")
        assert browser.find_element("id", "weights").get_property("value") == "", "as before"
        wait(browser, "document.getElementById('engine').textContent === 'grey'")
        browser.get_log("browser")
        browser.get("about:blank")


def test_a_portrait_is_pasted_and_a_clip_is_dropped(server: str, browser: Any) -> None:
    begin(browser, server)
    browser.execute_script("""
        const canvas = Object.assign(document.createElement('canvas'), {width: 80, height: 60});
        const data = new DataTransfer();
        canvas.getContext('2d');
        canvas.toBlob((blob) => {
            data.items.add(new File([blob], 'copied.png', {type: 'image/png'}));
            document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
        });
    """)
    wait(browser, "document.querySelector('#source .told').textContent.startsWith('copied.png · 80 × 60')")
    browser.execute_async_script("""
        const done = arguments[0], data = new DataTransfer();
        fetch('/api/files/clip').then((answer) => answer.blob()).then((clip) => {
            data.items.add(new File([clip], 'dropped.mp4', {type: 'video/mp4'}));
            const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true});
            document.querySelector('#driving .drop').dispatchEvent(drop);
            done();
        });
    """)
    wait(browser, "document.querySelector('#driving .told').textContent.startsWith('dropped.mp4')")
    wait(browser, "document.getElementById('frame').max === '124'")
    settled(browser)


def test_a_box_is_moved_and_sized(server: str, browser: Any) -> None:
    begin(browser, server)
    click(browser, "try")
    example(browser, "source", "portrait")
    wait(browser, "document.querySelector('#source .told').textContent.startsWith('portrait.png · 512')")
    wait(browser, "!document.getElementById('preview').hidden")
    settled(browser)
    box = browser.find_element("css selector", "#source .box")
    corner = box.find_element("css selector", ".corner")
    ActionChains(browser).drag_and_drop_by_offset(corner, -60, -60).perform()
    x, y, width, height = numbers(browser, "crop-source")
    assert (x, y) == (0, 0)
    assert 200 < width == height < 480, "of a picture of 512 x 512"
    ActionChains(browser).move_to_element(box).click_and_hold().move_by_offset(30, 20).release().perform()
    assert numbers(browser, "crop-source")[0] > 40
    moved = numbers(browser, "crop-source")
    box.send_keys(Keys.ARROW_LEFT, "-")
    assert [a - b for a, b in zip(moved, numbers(browser, "crop-source"), strict=True)] == [10, 0, 10, 10]
    settled(browser)


def test_faces_are_clicked_one_or_several(server: str, browser: Any, tmp_path: Path) -> None:
    with Image.open(ASSETS / "portrait.png") as one:
        both = Image.new("RGB", (2 * one.width, one.height))
        for place in (0, one.width):
            both.paste(one, (place, 0))
    both.save(tmp_path / "both.png")
    begin(browser, server)
    click(browser, "try")
    browser.find_element("css selector", "#source input").send_keys(str(tmp_path / "both.png"))
    wait(browser, "document.querySelector('#source .told').textContent.startsWith('both.png')")
    settled(browser)
    faces = "document.querySelectorAll('#source .face')"
    browser.find_element("css selector", "#source .faces").click()
    wait(browser, f"{faces}.length === 2")
    browser.execute_script(f"{faces}[1].click()")
    assert numbers(browser, "crop-source")[0] > 400, "the right one"
    browser.execute_script("document.querySelector('details').open = true")
    assert not browser.find_element("id", "pin").is_displayed()
    click(browser, "paste-back")
    assert browser.find_element("id", "pin").is_displayed()
    browser.find_element("css selector", "#source .faces").click()
    wait(browser, f"{faces}.length === 2")
    browser.execute_script(f"{faces}[1].click(); {faces}[0].click()")
    assert browser.find_element("id", "face").get_property("value") == "0,1"
    wait(browser, "document.getElementById('preview').naturalWidth === 1024")
    settled(browser)
    write_clip(tmp_path / "own.mp4", shades(4, 32, 32))
    put(browser, "end", "0.2")
    shown = browser.execute_script("return document.getElementById('preview').src")
    browser.find_element("css selector", "#drive .row:nth-child(2) input").send_keys(str(tmp_path / "own.mp4"))
    wait(browser, "document.getElementById('drive-1')?.selectedOptions[0].textContent === 'own.mp4'")
    put(browser, "pin", "0.3")
    wait(browser, f"document.getElementById('preview').src !== '{shown}'")
    click(browser, "run")
    wait(browser, "document.getElementById('result').videoWidth === 1024")
    browser.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    click(browser, "copy")
    said = wait(browser, "document.getElementById('copied').textContent")
    assert "--paste-back --face 0,1 --drive 1=own.mp4 --pin 0.3 --end 0.2" in said
    settled(browser)


def test_another_picture_stands_behind(server: str, browser: Any, tmp_path: Path) -> None:
    with Image.open(ASSETS / "person.jpg") as portrait:
        width, height = portrait.size
    Image.new("RGB", (80, 60), (0, 200, 0)).save(tmp_path / "meadow.png")
    mask = Image.new("L", (width, height))
    mask.paste(255, (width // 3, height // 3, 2 * width // 3, height))
    mask.save(tmp_path / "mask.png")
    begin(browser, server)
    click(browser, "try")
    wait(browser, "!document.getElementById('preview').hidden")
    browser.execute_script("document.getElementById('behind').open = true")
    assert not browser.find_element("id", "matte").is_displayed()
    browser.find_element("id", "background-file").send_keys(str(tmp_path / "meadow.png"))
    wait(browser, "document.getElementById('background').value === 'meadow.png'")
    assert browser.find_element("id", "matte").is_displayed()
    browser.find_element("id", "mask").send_keys(str(tmp_path / "mask.png"))
    wait(browser, "document.getElementById('matte').selectedOptions[0].textContent === 'mask.png'")
    wait(browser, f"{CORNER}()[1] > 180 && {CORNER}()[0] < 40")
    settled(browser)


CORNER = """(() => {
    const canvas = document.createElement('canvas'), image = document.getElementById('preview');
    if (!image.complete || !image.naturalWidth) return [0, 0, 0, 0];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.getContext('2d').getImageData(2, 2, 1, 1).data;
})"""


def test_a_part_is_chosen_and_results_are_kept(server: str, browser: Any) -> None:
    begin(browser, server)
    click(browser, "try")
    wait(browser, "document.getElementById('frame').max === '124'")
    put(browser, "end", "1")
    wait(browser, "document.getElementById('frame').max === '24'")
    assert "frame 1," in browser.find_element("id", "anchor-told").text
    click(browser, "run")
    wait(browser, "document.getElementById('result').currentTime > 0.1")
    browser.refresh()
    name = "document.querySelector('#results .link')?.textContent"
    assert wait(browser, name).startswith("person-person")
    row = browser.find_element("css selector", "#results li")
    assert row.text.startswith("person-person.mp4")
    assert "25 frames" in row.text
    for left in range(len(browser.find_elements("css selector", "#results li")), 0, -1):
        browser.execute_script("document.querySelector('#results li button:last-child').click()")
        wait(browser, f"document.querySelectorAll('#results li').length < {left}")
    browser.refresh()
    wait(browser, "document.getElementById('engine').textContent")
    assert browser.find_elements("css selector", "#results li") == []
    settled(browser)


def test_the_camera_gives_a_picture_and_a_clip(server: str, browser: Any) -> None:
    begin(browser, server)
    for side, told in (("source", "camera.png · 320 × 240"), ("driving", "camera.webm · 320 × 240")):
        browser.find_element("css selector", f"#{side} .camera").click()
        wait(browser, "document.getElementById('camera-view').currentTime > 0.2")
        click(browser, "camera-take")
        if side == "driving":
            wait(browser, "document.getElementById('camera-told').textContent.startsWith('9')")
            click(browser, "camera-take")
        wait(browser, f"document.querySelector('#{side} .told').textContent.startsWith('{told}')")
    wait(browser, "!document.getElementById('preview').hidden")
    settled(browser)


def test_a_motion_is_extracted_changed_and_used(server: str, browser: Any) -> None:
    begin(browser, server)
    click(browser, "try")
    click(browser, "go-motion")
    click(browser, "extract")
    wait(browser, "!document.getElementById('motion-work').hidden")
    wait(browser, "document.getElementById('plot').naturalWidth > 300")
    browser.find_element("id", "operations").send_keys("trim=0:1 reverse", Keys.ENTER)
    wait(browser, "document.getElementById('motions').length === 2")
    assert "person-2.motion.safetensors · 25 frames" in browser.find_element("id", "motions").text
    browser.execute_script("document.getElementById('blend').click()")
    wait(browser, "document.getElementById('motions').length === 3")
    browser.execute_script("document.getElementById('use-motion').click()")
    wait(browser, "document.getElementById('frame').max === '24'")
    assert browser.find_element("id", "strip").get_property("hidden"), "a motion has no pictures"
    settled(browser)


def test_keys_alone_animate_the_example(server: str, browser: Any) -> None:
    begin(browser, server)
    for wanted in ("try", "run"):
        for _ in range(60):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            if browser.switch_to.active_element.get_attribute("id") == wanted:
                break
        assert browser.switch_to.active_element.get_attribute("id") == wanted
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        wait(browser, "!document.getElementById('run').disabled || !document.getElementById('cancel').hidden")
    wait(browser, "document.getElementById('result').currentTime > 0.1")


def test_everything_is_named_in_the_tree_that_is_read_out(server: str, browser: Any) -> None:
    begin(browser, server)
    click(browser, "try")
    wait(browser, "!document.getElementById('preview').hidden")
    asked = {"button", "link", "checkbox", "slider", "combobox", "textbox", "spinbutton", "image", "Video", "tab"}
    nameless = []
    for tab in ("animate", "live", "motion"):
        click(browser, f"go-{tab}")
        tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        shown = [node for node in tree if not node["ignored"] and node["role"]["value"] in asked]
        assert len(shown) > 5
        nameless += [node for node in shown if not node.get("name", {}).get("value")]
    assert nameless == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(server: str, browser: Any, width: int) -> None:
    begin(browser, server, width)
    for tab in ("animate", "live", "motion"):
        click(browser, f"go-{tab}")
        browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), tab
        assert browser.find_element("id", "audio").is_displayed() is (tab == "animate"), "what is live has no sound"


# ----------------------------------------------------------------------------------------------------------- live

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
    window.flying = window.most = window.late = window.back = 0;
    window.gone = {};
    const number = (data) => new DataView(data.buffer || data).getUint32(0, true);
    window.WebSocket = class extends WebSocket {
        send(data) {
            if (typeof data !== 'string') {
                most = Math.max(most, ++flying);
                gone[number(data)] = back;
            }
            super.send(data);
        }
        set onmessage(hear) {
            super.onmessage = (event) => {
                if (typeof event.data !== 'string') {
                    flying -= 1;
                    late = Math.max(late, back++ - gone[number(event.data)]);
                }
                hear(event);
            };
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
    assert browser.execute_script("return most") <= 2, "one is computed while one is on its way"
    assert browser.execute_script("return late") <= 1, "a frame waits for the one at hand, and for no other"
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


def test_behind_a_slow_engine_nothing_queues(browser: Any, tmp_path: Path) -> None:
    with houses(tmp_path / "work") as build, listening(build(SlowEngine(0.1))) as address:
        begin(browser, address)
        browser.execute_script(COUNTED)
        example(browser, "source", "portrait")
        click(browser, "go-live")
        click(browser, "live-start")
        frames(browser, 12)
        most, late, back = browser.execute_script("return [most, late, back]")
        click(browser, "live-start")
        browser.get("about:blank")
    assert back >= 10
    assert most <= 2
    assert late <= 1, "from capture to answer two frames of the engine at most"


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
    example(browser, "source", "portrait")
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

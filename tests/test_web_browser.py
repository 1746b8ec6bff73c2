"""The page at work: a real browser, with a camera that plays a film, in front of a real server."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageOps

pytest.importorskip("starlette")
pytest.importorskip("selenium")
from selenium.webdriver import ActionChains, Keys

from fomm_cli.files.disk import ASSETS
from fomm_cli.media.video import probe
from tests.clips import shades, write_clip
from tests.web import serving, until

pytestmark = pytest.mark.browser

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
]


def film(path: Path) -> Path:
    """The bundled clip as a camera of Chromium plays it, over and over: YUV4MPEG2, 320 x 240."""
    with av.open(str(ASSETS / "driving.mp4")) as clip, path.open("wb") as out:
        out.write(b"YUV4MPEG2 W320 H240 F25:1 Ip A1:1 C420mpeg2\n")
        for _, frame in zip(range(50), clip.decode(video=0), strict=False):
            wide = av.VideoFrame.from_image(ImageOps.pad(frame.to_image(), (320, 240)))
            out.write(b"FRAME\n" + wide.reformat(format="yuv420p").to_ndarray().tobytes())
    return path


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


def wait(browser: Any, script: str, seconds: float = 60) -> Any:
    """Until a JavaScript expression is true."""
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, f"{script}; {browser.get_log('browser')}"
        time.sleep(0.05)
    return found


def begin(browser: Any, address: str) -> None:
    browser.set_window_size(1280, 1000)
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


def test_a_visitor_animates(server: tuple[str, Path, Any], browser: Any, tmp_path: Path) -> None:
    address, _, _ = server
    Image.new("RGB", (60, 60), (90, 120, 60)).save(tmp_path / "face.png")
    write_clip(tmp_path / "clip.mp4", shades(200, 32, 32))
    begin(browser, address)
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


def test_a_camera_drives_it(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
    click(browser, "try")
    click(browser, "go-live")
    click(browser, "live-start")
    wait(browser, "+document.getElementById('live-out').dataset.frames >= 10")
    browser.find_element("tag name", "body").send_keys("x")
    wait(browser, "!document.getElementById('overlay').hidden")
    wait(browser, "document.getElementById('overlay').hidden")
    click(browser, "record")
    wait(browser, "+document.getElementById('live-out').dataset.frames >= 50")
    told = browser.execute_script("return document.getElementById('live-told').textContent")
    assert re.fullmatch(r"[\d.]+ fps · \d+ ms · \d+ % of frames passed over", told)
    drawn = """
        const out = document.getElementById('live-out');
        const seen = out.getContext('2d').getImageData(0, 0, out.width, out.height).data;
        return [out.width, out.height, Math.max(...seen.filter((_, n) => n % 4 < 3)) > 100];
    """
    assert browser.execute_script(drawn) == [32, 32, True], "the network's picture is shown"
    click(browser, "record")
    saved = Path(browser.capabilities["chrome"]["userDataDir"]).parent / "saved" / "live.webm"
    until(saved.is_file, what="the recording")
    assert probe(saved).frames, "it plays"
    click(browser, "live-start")
    wait(browser, "document.getElementById('record').disabled")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_portrait_is_pasted_and_a_clip_is_dropped(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
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


def test_a_box_is_moved_and_sized(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
    click(browser, "try")
    wait(browser, "!document.getElementById('preview').hidden")
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


def test_faces_are_clicked_one_or_several(server: tuple[str, Path, Any], browser: Any, tmp_path: Path) -> None:
    with Image.open(ASSETS / "portrait.png") as one:
        both = Image.new("RGB", (2 * one.width, one.height))
        for place in (0, one.width):
            both.paste(one, (place, 0))
    both.save(tmp_path / "both.png")
    begin(browser, server[0])
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
    click(browser, "paste-back")
    browser.find_element("css selector", "#source .faces").click()
    wait(browser, f"{faces}.length === 2")
    browser.execute_script(f"{faces}[1].click(); {faces}[0].click()")
    assert browser.find_element("id", "face").get_property("value") == "0,1"
    wait(browser, "document.getElementById('preview').naturalWidth === 1024")
    settled(browser)


def test_a_part_is_chosen_and_results_are_kept(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
    click(browser, "try")
    wait(browser, "document.getElementById('frame').max === '124'")
    put(browser, "end", "1")
    wait(browser, "document.getElementById('frame').max === '24'")
    assert "frame 1," in browser.find_element("id", "anchor-told").text
    click(browser, "run")
    wait(browser, "document.getElementById('result').currentTime > 0.1")
    browser.refresh()
    name = "document.querySelector('#results .link')?.textContent"
    assert wait(browser, name).startswith("portrait-driving")
    row = browser.find_element("css selector", "#results li")
    assert row.text.startswith("portrait-driving.mp4")
    assert "25 frames" in row.text
    for left in range(len(browser.find_elements("css selector", "#results li")), 0, -1):
        browser.execute_script("document.querySelector('#results li button:last-child').click()")
        wait(browser, f"document.querySelectorAll('#results li').length < {left}")
    browser.refresh()
    wait(browser, "document.getElementById('engine').textContent")
    assert browser.find_elements("css selector", "#results li") == []
    settled(browser)


def test_the_camera_gives_a_picture_and_a_clip(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
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


def test_a_motion_is_extracted_changed_and_used(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
    click(browser, "try")
    click(browser, "go-motion")
    click(browser, "extract")
    wait(browser, "!document.getElementById('motion-work').hidden")
    wait(browser, "document.getElementById('plot').naturalWidth > 300")
    browser.find_element("id", "operations").send_keys("trim=0:1 reverse", Keys.ENTER)
    wait(browser, "document.getElementById('motions').length === 2")
    assert "driving-2.motion.safetensors · 25 frames" in browser.find_element("id", "motions").text
    browser.execute_script("document.getElementById('blend').click()")
    wait(browser, "document.getElementById('motions').length === 3")
    browser.execute_script("document.getElementById('use-motion').click()")
    wait(browser, "document.getElementById('frame').max === '24'")
    assert browser.find_element("id", "strip").get_property("hidden"), "a motion has no pictures"
    settled(browser)


def test_keys_alone_animate_the_example(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
    for wanted in ("try", "run"):
        for _ in range(60):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            if browser.switch_to.active_element.get_attribute("id") == wanted:
                break
        assert browser.switch_to.active_element.get_attribute("id") == wanted
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        wait(browser, "!document.getElementById('run').disabled || !document.getElementById('cancel').hidden")
    wait(browser, "!document.getElementById('cancel').hidden")
    browser.execute_script("document.getElementById('cancel').click()")
    wait(browser, "document.getElementById('cancel').hidden")


def test_everything_is_named_in_the_tree_that_is_read_out(server: tuple[str, Path, Any], browser: Any) -> None:
    begin(browser, server[0])
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
def test_the_page_fits_its_window(server: tuple[str, Path, Any], browser: Any, width: int) -> None:
    browser.set_window_size(width, 900)
    browser.get(server[0])
    wait(browser, "document.getElementById('engine').textContent")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_files_go_with_the_server(server: tuple[str, Path, Any], browser: Any) -> None:
    _, work, process = server
    assert len(list(work.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert list(work.iterdir()) == []

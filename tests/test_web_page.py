"""The page by itself: it takes nothing from outside, and everything on it can be read out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

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
    script = "".join(file.read_text(encoding="utf-8") for file in PAGE.glob("*.js"))
    assert set(re.findall(r'\bat\("([^"$]+)"\)', script)) <= ids
    from fomm_cli.web.words import DEFAULTS

    assert set(DEFAULTS) - {"force-motion"} <= ids, "every setting has its control"

"""The pages keep up with the program: commands they show can be parsed, pages and headings they point to exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fomm_cli.commands import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def commands(page: Path) -> list[str]:
    """What follows `fomm`, also under torchrun, on the lines of a page's code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    return [found[1] for line in lines if (found := re.match(r"(?:torchrun .* -m fomm_cli|fomm) (.*)", line))]


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_commands_are_found() -> None:
    assert len([line for page in PAGES for line in commands(page)]) > 50


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_a_page_can_be_parsed(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line, comments=True)
        command = app.command()
        while hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # raises for unknown options, wrong values, missing arguments


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_that_are_pointed_to_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if "://" in link or not (path.endswith(".md") or not path):
            continue
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.skipif(shutil.which("bash") is None, reason="scripts of bash")
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_scripts_of_a_page_are_scripts(page: Path) -> None:
    for script in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, timeout=60)
        assert not checked.returncode, checked.stderr

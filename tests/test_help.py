"""Every command explains itself: help that cannot be drawn would end in a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from fomm_cli.commands.app import command, main


def verbs(verb: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(verb, "commands", {}).items():
        yield from verbs(child, (*path, name))


VERBS = list(verbs(command()))


def test_the_walk_finds_commands_of_groups() -> None:
    assert ("animate",) in VERBS
    assert ("weights", "fetch") in VERBS


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_command_shows_its_help(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*path, "--help"]) == 0
    assert " ".join((*path, "[OPTIONS]")) in capsys.readouterr().out


def test_ctrl_c_is_answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("fomm_cli.config.reading.presets", interrupted)
    assert main(["config", "list"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_the_words_of_options_are_those_of_the_rooms() -> None:
    from fomm_cli.acquire import cutting, table
    from fomm_cli.animate.layouts import LAYOUTS
    from fomm_cli.commands import export, options
    from fomm_cli.engine import choose
    from fomm_cli.export.formats import FORMATS
    from fomm_cli.weights.catalogue import SAMPLES

    assert sorted(options.Who) == sorted(SAMPLES)
    assert list(options.ClipFormat) == list(get_args(cutting.Format))
    assert list(options.Fit) == list(get_args(table.Fit))
    assert list(options.Layout) == list(LAYOUTS)
    assert list(export.Format) == list(FORMATS)
    assert set(export.ExportPrecision) == {precision for each in FORMATS.values() for precision in each.writers}
    assert list(options.EngineName) == choose.ENGINES
    assert list(options.PrecisionName) == choose.PRECISIONS


def test_offline_is_of_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert main(["export", "nothing-of-this-name", "-o", "x", "--offline"]) == 1
    assert "HF_HUB_OFFLINE" not in os.environ

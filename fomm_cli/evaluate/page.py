"""The report for people: one HTML page that carries its pictures inside."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from fomm_cli.errors import counted
from fomm_cli.evaluate.metrics import METRICS, Metric
from fomm_cli.evaluate.sheets import Figure

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 120rem; padding: 0 2rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd }
th, td:not(:first-child) { text-align: right } th:first-child, td:first-child { text-align: left }
small { color: #777 } .paper { color: #777; font-style: italic } figure { margin: 1.5rem 0 }
figure img { width: 100%; max-width: 100rem; border: 1px solid #eee }
.note { background: #fff8e0; padding: .5rem .8rem }
code, pre { background: #f5f5f5; font-size: .85em; overflow-x: auto } pre { padding: .8rem }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } th, td { border-color: #444 }
.note { background: #3a3420 } code, pre { background: #242424 } figure img { border-color: #333 } }
"""


def rows(report: dict[str, Any]) -> list[tuple[Metric, list[list[str]]]]:
    """The table, a metric a row: for every column, the paper's included, the lines of its cell, the number first."""
    paper = (report["paper"] or {}).get("rows", [])
    found = report["results"]
    made = []
    for metric in (METRICS[name] for name in next(iter(found.values()))):
        ours = [lines(metric, numbers[metric.name]) for numbers in found.values()]
        made.append((metric, ours + [[str(row.get(metric.name, "-"))] for row in paper]))
    return made


def columns(report: dict[str, Any]) -> list[str]:
    """The heads of the columns of `rows`."""
    return [*report["results"], *(row["method"] for row in (report["paper"] or {}).get("rows", []))]


def seen(report: dict[str, Any]) -> str:
    """How much was looked at: clips, frames, size."""
    size = report["size"]
    at = f"{size[1]}x{size[0]} px" if isinstance(size, list) else str(size)
    return f"{counted(report['clips'], 'clip')}, {counted(report['frames'], 'frame')} at {at}"


def lines(metric: Metric, entry: dict[str, Any]) -> list[str]:
    """A number, its interval, and what there is to say of it."""
    text = metric.text
    made = [text(entry["value"]), *_interval(metric, entry)]
    each = entry.get("per_video", entry)
    if text(each["value"]) != text(entry["value"]):
        made.append(f"per video {text(each['value'])}")
    if "against" in entry:
        pair = entry["against"]
        if "over_copy" in entry:
            made.append(f"{entry['over_copy']['value']:.3f} of copying")
        made.append(f"vs {pair['column'].partition(', ')[0]} {pair['value']:+.{metric.digits}f}")
        made += _interval(metric, pair)
        made.append(f"better in {pair['better']} of {pair['clips']}")
    lost = entry.get("missing")
    if lost and any(lost.values()):
        made.append(f"missing {lost['truth']} true, {lost['result']} made")
    if entry.get("identical_videos"):
        made.append(f"{entry['identical_videos']} identical left out")
    return made


def _interval(metric: Metric, entry: dict[str, Any]) -> list[str]:
    found = entry.get("interval")
    return [] if found is None else [f"[{metric.text(found[0])}, {metric.text(found[1])}]"]


def render(report: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The page as text."""
    parts = [f"<h1>{html.escape(report['task'].capitalize())}</h1>", f"<p>{_summary(report)}</p>"]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in report["notes"]]
    parts.append(_table(report))
    if report.get("paper"):
        parts.append(f"<p><small>Paper: {html.escape(report['paper']['citation'])}.</small></p>")
    for figure in figures:
        caption = html.escape(figure.caption)
        parts.append(f'<figure><figcaption>{caption}</figcaption><img alt="{caption}" src="{_inline(figure.picture)}">')
        parts.append("</figure>")
    if report["skipped"]:
        reasons = [html.escape(f"{item['name']}: {item['reason']}") for item in report["skipped"]]
        parts.append(f"<h2>Skipped</h2><ul>{''.join(f'<li>{reason}</li>' for reason in reasons)}</ul>")
    parts.append(_provenance(report))
    body = "\n".join(parts)
    head = f"<meta charset=utf-8><title>fomm: {html.escape(report['task'])}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}{body}\n"


def _summary(report: dict[str, Any]) -> str:
    return f"{seen(report)}; data {html.escape(str(report['data']))}. In brackets: {report['interval']}."


def _table(report: dict[str, Any]) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in columns(report))
    made = [f"<tr><th></th>{heads}</tr>"]
    measured = len(report["results"])
    for metric, cells in rows(report):
        made.append(f"<tr><td>{html.escape(metric.heading)}</td>")
        for index, cell in enumerate(cells):
            first, *others = map(html.escape, cell)
            text = "".join(f"<br><small>{line}</small>" for line in others)
            kind = ' class="paper"' if index >= measured else ""
            made.append(f"<td{kind}>{first}{text}</td>")
        made.append("</tr>")
    return f"<table>{''.join(made)}</table>"


def _provenance(report: dict[str, Any]) -> str:
    keys = ("methods", "detectors", "lpips", "inception", "data_sha256", "seed", "batch", "device", "versions")
    kept = {key: report[key] for key in keys if report.get(key) is not None}
    return f"<h2>Made with</h2><pre>{html.escape(json.dumps(kept, indent=2))}</pre>"


def _inline(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

"""The report for people: one HTML page that carries its pictures inside."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fomm_cli.errors import counted
from fomm_cli.evaluate.report import HIGHER_IS_BETTER, UNITS, title


class Figure(NamedTuple):
    """One contact sheet, uint8 (H, W, 3), and what it shows."""

    caption: str
    picture: np.ndarray


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd }
th, td:not(:first-child) { text-align: right } th:first-child, td:first-child { text-align: left }
small { color: #777 } .paper { color: #777; font-style: italic } figure { margin: 1.5rem 0 }
figure img { max-width: 100%; border: 1px solid #eee } .note { background: #fff8e0; padding: .5rem .8rem }
code, pre { background: #f5f5f5; font-size: .85em; overflow-x: auto } pre { padding: .8rem }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } th, td { border-color: #444 }
.note { background: #3a3420 } code, pre { background: #242424 } figure img { border-color: #333 } }
"""


def number(value: float | None, metric: str) -> str:
    """As tables show it; the JSON has all digits."""
    if value is None:
        return "-"
    return f"{value:.2f}" if metric == "psnr" else f"{value:.3f}" if metric in {"akd", "pose"} else f"{value:.4f}"


def interval(entry: dict[str, Any], metric: str) -> str:
    found = entry.get("interval")
    return "" if found is None else f"[{number(found[0], metric)}, {number(found[1], metric)}]"


def heading(metric: str) -> str:
    """Name, unit and which way is better."""
    arrow = "↑" if metric in HIGHER_IS_BETTER else "↓"
    unit = UNITS.get(metric, "")
    return f"{title(metric)} {arrow}" + (f" ({unit})" if unit else "")


def render(report: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The page as text."""
    metrics = list(next(iter(report["results"].values())))
    parts = [f"<h1>{html.escape(report['task'].capitalize())}</h1>", f"<p>{_summary(report)}</p>"]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in report["notes"]]
    parts.append(_table(report, metrics))
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
    size = report["size"]
    shown = f"{size[1]}x{size[0]} px" if isinstance(size, list) else str(size)
    seen = f"{counted(report['clips'], 'clip')}, {counted(report['frames'], 'frame')} at {shown}"
    return f"{seen}; data {html.escape(str(report['data']))}. In brackets: {report['interval']}."


def _table(report: dict[str, Any], metrics: list[str]) -> str:
    rows = ["<tr><th></th>" + "".join(f"<th>{html.escape(heading(metric))}</th>" for metric in metrics) + "</tr>"]
    for name, found in report["results"].items():
        cells = []
        for metric in metrics:
            entry = found[metric]
            text = f"{number(entry['value'], metric)}<br><small>{interval(entry, metric)}</small>"
            if "per_video" in entry and entry["per_video"]["value"] != entry["value"]:
                text += f"<br><small>per video {number(entry['per_video']['value'], metric)}</small>"
            if "over_copy" in entry:
                text += f"<br><small>of copying {number(entry['over_copy']['value'], metric)}</small>"
            lost = entry.get("missing")
            if lost and any(lost.values()):
                text += f"<br><small>missing {lost['truth']} / {lost['result']}</small>"
            cells.append(f"<td>{text}</td>")
        rows.append(f"<tr><td>{html.escape(name)}</td>{''.join(cells)}</tr>")
    for row in (report.get("paper") or {}).get("rows", []):
        cells = [f"<td>{row[metric]}</td>" if metric in row else "<td>-</td>" for metric in metrics]
        rows.append(f'<tr class="paper"><td>{html.escape(row["method"])}</td>{"".join(cells)}</tr>')
    return f"<table>{''.join(rows)}</table>"


def _provenance(report: dict[str, Any]) -> str:
    keys = ("methods", "detectors", "lpips", "inception", "data_sha256", "seed", "batch", "device", "versions")
    kept = {key: report[key] for key in keys if report.get(key) is not None}
    return f"<h2>Made with</h2><pre>{html.escape(json.dumps(kept, indent=2))}</pre>"


def _inline(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

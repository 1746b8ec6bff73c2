"""What a file says of how it was made: a mark in its metadata, and reading it back from any file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr, unescape

import av.error
from PIL import PngImagePlugin

from fomm_cli.errors import FommError
from fomm_cli.media.container import open_media
from fomm_cli.media.image import BROKEN_IMAGE, open_image
from fomm_cli.media.sequence import image_files, is_sequence
from fomm_cli.version import __version__

KEY = "fomm"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for a picture of which a trained network made parts."""
_XMP = "XML:com.adobe.xmp"
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Mark:
    """What is written into a file; the same for the same work, so without any date.

    record       JSON values under names
    ingredients  for signed statements: what it was made from, "parentOf" or "inputTo" and the file
    """

    record: Mapping[str, Any]
    ingredients: tuple[tuple[str, Path], ...] = ()

    @property
    def text(self) -> str:
        """For machines."""
        return json.dumps(self.record, sort_keys=True, ensure_ascii=True)

    @property
    def comment(self) -> str:
        """For people."""
        weights = str(self.record.get("weights", "")).removeprefix("sha256:")[:16]
        return f"Synthetic: made with fomm {__version__}" + (f"; weights sha256 {weights}" if weights else "")

    @property
    def tags(self) -> dict[str, str]:
        """Of a container that ffmpeg writes."""
        return {"comment": self.comment, "software": f"fomm {__version__}", KEY: self.text}

    @property
    def xmp(self) -> str:
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
            ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
            f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}" xmp:CreatorTool="fomm {__version__}"'
            f' xmlns:fomm="urn:fomm" fomm:record={quoteattr(self.text)}>'
            f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(self.comment)}</rdf:li></rdf:Alt>'
            "</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
            '<?xpacket end="r"?>'
        )

    def png(self) -> PngImagePlugin.PngInfo:
        """The chunks of a PNG."""
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(KEY, self.text)
        chunks.add_itxt(_XMP, self.xmp)
        return chunks

    def into_gif(self, path: Path) -> None:
        """Put it before the last byte of a GIF, as a comment."""
        said = f"{self.comment}\n{KEY}={self.text}".encode("ascii", "replace")
        blocks = b"".join(bytes([len(said[at : at + 255])]) + said[at : at + 255] for at in range(0, len(said), 255))
        with path.open("r+b") as file:
            file.seek(-1, 2)
            if file.read(1) != b";":
                raise FommError(f"{path} is no whole GIF.", "Write another format.")
            file.seek(-1, 2)
            file.write(b"!\xfe" + blocks + b"\0;")


def read_mark(path: Path) -> dict[str, Any]:
    """What the metadata of a file, or of the first picture of a folder, say: `comment`, `record`, `source_type`.

    Values are None where nothing is said. The file may come from anybody: whatever it says is a claim.
    """
    if path.is_dir():
        path = image_files(path)[0]
    if is_sequence(path):
        return _of_picture(path)
    with open_media(path) as container:
        if container.format.name == "gif":
            return _of_picture(path)
        try:
            tags = {str(name).lower(): str(value) for name, value in container.metadata.items()}
        except (UnicodeDecodeError, av.error.FFmpegError) as error:
            raise FommError(f"The metadata of {path} cannot be read.", "It may be damaged.") from error
    return {"comment": tags.get("comment"), "record": _record(tags.get(KEY)), "source_type": None}


def _of_picture(path: Path) -> dict[str, Any]:
    try:
        with open_image(path) as image:
            image.load()
            info = {str(name): value for name, value in image.info.items()}
            info |= dict(getattr(image, "text", {}))
            if image.format == "GIF":
                info |= _of_gif(path)
    except BROKEN_IMAGE as error:
        raise FommError(f"{path} is a damaged picture: {error}.", "Fetch or export it again.") from error
    xmp = info.get(_XMP) or info.get("xmp") or b""
    xmp = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
    record = _record(info.get(KEY)) or _record_of(xmp)
    comment = info.get("comment")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    if comment is None and record is not None:
        comment = Mark(record).comment
    return {"comment": comment, "record": record, "source_type": SOURCE_TYPE if SOURCE_TYPE in xmp else None}


def _of_gif(path: Path) -> dict[str, Any]:
    """The last comment of a GIF, which stands before its last byte."""
    data = path.read_bytes()[-_LIMIT:]
    at = data.rfind(b"!\xfe")
    if at < 0:
        return {}
    said, offset = b"", at + 2
    while offset < len(data) and data[offset]:
        said += data[offset + 1 : offset + 1 + data[offset]]
        offset += 1 + data[offset]
    comment, _, record = said.decode("ascii", "replace").partition(f"\n{KEY}=")
    return {"comment": comment, KEY: record}


def _record_of(xmp: str) -> dict[str, Any] | None:
    """Where a format has no place but XMP."""
    found = re.search(r"""fomm:record=(?:'([^']*)'|"([^"]*)")""", xmp[:_LIMIT])
    text = None if found is None else found[1] if found[2] is None else found[2]
    return _record(None if text is None else unescape(text, {"&quot;": '"', "&apos;": "'"}))


def _record(text: Any) -> dict[str, Any] | None:
    try:
        told = json.loads(str(text)) if text and len(str(text)) < _LIMIT else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None

"""One video from the web into a folder, by yt-dlp as a library; its errors become reasons."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fomm_cli.acquire.addresses import YOUTUBE, expand, host_of, refusal
from fomm_cli.acquire.reasons import Failure, Reason, classify, tidy
from fomm_cli.acquire.table import plain_id
from fomm_cli.data.clips import VIDEOS
from fomm_cli.errors import FommError
from fomm_cli.files.disk import cache_dir

# The picture alone: sound would be fetched to be thrown away, and joining the two would need another program.
_FORMATS = "bv*[protocol^=http]/b[protocol^=http]/bv*[protocol=m3u8_native]/b[protocol=m3u8_native]"

_STARTS = 2
"""How often a download is begun: once more where what an earlier run began does not fit any longer."""

_LOCAL = frozenset({".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".ogv", ".3gp", ".vob"})
"""Suffixes of videos under --videos, besides those of data sets: they are only cut, once."""

_UNFINISHED = (".part", ".ytdl", ".temp")

_RUNTIMES = ("deno", "node", "bun", "quickjs")


@dataclass(frozen=True)
class Wishes:
    """What the user asks of downloads.

    template       address with {video_id} in it
    cookies        a cookies.txt file
    browser        whose cookies to use, as yt-dlp writes it: NAME[+KEYRING][:PROFILE][::CONTAINER]
    rate           bytes a second at most, 0 = no limit
    sleep          seconds before each download
    height         rows of the picture that are asked for; the nearest that there is comes
    max_bytes      of a video's file
    max_seconds    that a video may play
    max_wait       seconds that one download may take
    timeout        seconds without a byte after which a connection counts as dead
    retries        how often a broken connection is tried again
    """

    template: str = YOUTUBE
    cookies: Path | None = None
    browser: str | None = None
    rate: int = 0
    sleep: float = 0.0
    height: int = 720
    max_bytes: int = 8 << 30
    max_seconds: float = 6 * 3600.0
    max_wait: float = 3600.0
    timeout: float = 20.0
    retries: int = 5


class _Log:
    """Takes what yt-dlp says instead of the terminal; warnings are kept, for they often hold the cause."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None:
        pass

    def info(self, message: str) -> None:
        pass

    def warning(self, message: str) -> None:
        self.warnings = [*self.warnings[-20:], tidy(message)]

    def error(self, message: str) -> None:
        pass


@dataclass
class _Limits:
    """Watches one download: how large, how long, and whether the run is being stopped."""

    wishes: Wishes
    stop: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)

    def progress(self, status: dict[str, Any]) -> None:
        if self.stop():
            raise KeyboardInterrupt
        if (status.get("downloaded_bytes") or 0) > self.wishes.max_bytes:
            raise _TooMuchError(Reason.TOO_LARGE, f"its file is larger than {self.wishes.max_bytes} bytes")
        if status.get("status") == "downloading" and time.monotonic() - self.began > self.wishes.max_wait:
            raise _TooMuchError(Reason.TOO_SLOW, f"not done within {self.wishes.max_wait:.0f} s")

    def refuse(self, info: dict[str, Any], *, incomplete: bool = False) -> str | None:
        """yt-dlp's match filter: what it returns is why a video is passed over."""
        if info.get("is_live"):
            raise _TooMuchError(Reason.NO_FORMAT, "it is a live stream")
        if (info.get("duration") or 0) > self.wishes.max_seconds:
            raise _TooMuchError(Reason.TOO_LARGE, f"it plays {info['duration']:.0f} s")
        size = info.get("filesize") or info.get("filesize_approx") or 0
        if size > self.wishes.max_bytes:
            raise _TooMuchError(Reason.TOO_LARGE, f"its file has {size} bytes")
        return None


class _TooMuchError(Failure):
    """A limit of ours; yt-dlp does not know it and lets it through."""


class Downloader:
    """Downloads videos into one folder, one after another; a worker has its own.

    The file of a video is FOLDER/ID.FORMAT.SUFFIX; unfinished ones end in .part and are resumed by the next call.
    """

    def __init__(self, folder: Path, wishes: Wishes, stop: Callable[[], bool] = lambda: False) -> None:
        self.folder, self.wishes, self._stop = folder, wishes, stop
        self._log = _Log()
        self._limits = _Limits(wishes, stop)
        self._library: Any = None
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, video: str) -> Path | None:
        """The finished file of a video that an earlier run has left, if any."""
        found = sorted(path for path in self.folder.glob(f"{video}.*") if _belongs(path, video) and _finished(path))
        return found[0] if found else None

    def fetch(self, video: str) -> Path:
        """The video's file, downloaded now if it is not there. Raises Failure with the reason."""
        there = self.find(video)
        if there is not None:
            return there
        url = expand(self.wishes.template, video)
        trusted = frozenset({host_of(url)})
        library = self._open(trusted)
        folder = str(self.folder).replace("%", "%%")
        library.params["outtmpl"]["default"] = f"{folder}/{video}.%(format_id)s.%(ext)s"
        self._limits.began = time.monotonic()
        self._log.warnings = []
        for attempt in range(_STARTS):
            try:
                info = library.extract_info(url, download=True)
                break
            except KeyboardInterrupt:
                raise
            except Exception as error:  # whatever a site's extractor stumbles over belongs to this one video
                failure = self._explain(error)
                if "416" in failure.message and attempt + 1 < _STARTS:
                    self.discard(video)  # the server has no more of what was begun: it is begun anew
                    continue
                raise failure from error
        path = self._path(info, video)
        if path is None:
            raise Failure(Reason.NO_FORMAT, "nothing was downloaded" + self._said())
        return path

    def _open(self, trusted: frozenset[str]) -> Any:
        if self._library is None:
            library = _guarded(self._options(), trusted)
            try:
                library.cookiejar  # noqa: B018 - read here, where it is told apart from the failures of a video
            except Exception as error:  # one class for each way a browser can hide its cookies
                source = self.wishes.browser or self.wishes.cookies
                raise FommError(
                    f"The cookies of {source} cannot be read: {tidy(str(error.__cause__ or error))}",
                    "Close the browser, name its profile as in firefox:PROFILE, or export a cookies.txt for --cookies.",
                ) from error
            self._library = library
        return self._library

    def _options(self) -> dict[str, Any]:
        wishes = self.wishes
        options: dict[str, Any] = {
            "quiet": True, "noprogress": True, "logger": self._log, "ignoreerrors": False, "color": "never",
            "outtmpl": {"default": "%(id)s.%(format_id)s.%(ext)s"}, "format": _FORMATS,
            "format_sort": [f"res:{wishes.height}", "vcodec:h264", "fps"],
            "noplaylist": True, "playlist_items": "1", "allowed_extractors": ["default"],
            "retries": wishes.retries, "fragment_retries": wishes.retries, "extractor_retries": min(wishes.retries, 3),
            "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor"), _pause),
            "socket_timeout": wishes.timeout, "continuedl": True, "updatetime": False, "fixup": "never",
            "skip_unavailable_fragments": False, "hls_prefer_native": True, "enable_file_urls": False,
            "cachedir": str(cache_dir() / "yt-dlp"), "max_filesize": None, "match_filter": self._limits.refuse,
            "progress_hooks": [self._limits.progress], "js_runtimes": {name: {} for name in _RUNTIMES},
            "ratelimit": wishes.rate or None,
            # A playlist that the library cannot read itself would go to ffmpeg, which opens whatever it names.
            "ffmpeg_location": os.devnull,
        }  # fmt: skip
        if wishes.sleep:
            options |= {"sleep_interval": wishes.sleep, "sleep_interval_requests": min(wishes.sleep / 4, 2.0)}
        if wishes.cookies is not None:
            # A copy in memory: the library writes cookies back when it closes, and several workers share the file.
            options["cookiefile"] = io.StringIO(read_cookies(wishes.cookies))
        if wishes.browser is not None:
            options["cookiesfrombrowser"] = parse_browser(wishes.browser)
        return options

    def _explain(self, error: BaseException) -> Failure:
        failure = classify(error)
        if failure.reason in (Reason.NO_FORMAT, Reason.UNKNOWN) and any(
            "JavaScript" in said for said in self._log.warnings
        ):
            return Failure(
                Reason.NO_FORMAT,
                f"{failure.message}; no JavaScript runtime solves the site's puzzle: see `fomm doctor`",
            )
        return failure

    def _said(self) -> str:
        return f": {self._log.warnings[-1]}" if self._log.warnings else ""

    def _path(self, info: dict[str, Any] | None, video: str) -> Path | None:
        """The file that a finished download left."""
        entries = (info or {}).get("entries")
        chosen = next(iter(entries), None) if entries else info
        for item in (chosen or {}).get("requested_downloads") or ():
            path = Path(item.get("filepath") or "")
            if path.is_file() and path.resolve().parent == self.folder.resolve():
                return path
        return self.find(video)

    def discard(self, video: str) -> None:
        """Delete what was downloaded of a video."""
        for path in self.folder.glob(f"{video}.*"):
            if _belongs(path, video):
                with contextlib.suppress(OSError):
                    path.unlink()

    def close(self) -> None:
        """Close connections."""
        if self._library is not None:
            with contextlib.suppress(Exception):  # it only writes back cookies that we do not want
                self._library.close()
            self._library = None


def _belongs(path: Path, video: str) -> bool:
    """ID.FORMAT.SUFFIX of just this id: another one may begin alike and go on after a dot."""
    return (
        re.fullmatch(r"[^.]*\.[A-Za-z0-9_-]+(\.part(-Frag\d+)?|\.ytdl|\.temp)?", path.name[len(video) + 1 :])
        is not None
    )


def _finished(path: Path) -> bool:
    return (
        path.is_file() and path.suffix not in _UNFINISHED and ".part" not in path.suffixes and path.stat().st_size > 0
    )


def _pause(n: int) -> float:
    """Seconds before try n of a broken connection."""
    return float(min(0.5 * 2**n, 30.0)) if n > 1 else 0.1


def _guarded(options: dict[str, Any], trusted: frozenset[str]) -> Any:
    """yt-dlp's main object that opens no address which `refusal` forbids.

    Redirects are followed below it, so of those the answer is refused, before any of it is read.
    """
    from yt_dlp import YoutubeDL
    from yt_dlp.postprocessor import FFmpegPostProcessor

    with contextlib.suppress(AttributeError):  # where the library looks that asks without its options, in this thread
        FFmpegPostProcessor._ffmpeg_location.set(os.devnull)

    class Guarded(YoutubeDL):
        def urlopen(self, request: Any) -> Any:
            url = request if isinstance(request, str) else getattr(request, "url", None) or request.get_full_url()
            self._check(url)
            response = super().urlopen(request)
            try:
                self._check(response.url or url)
            except Failure:
                response.close()
                raise
            return response

        def _check(self, url: str) -> None:
            why = None if url.startswith("data:") else refusal(url, trusted)
            if why is not None:
                raise Failure(Reason.REFUSED, f"{url[:200]} is not opened: {why}")

    return Guarded(options)


def read_cookies(path: Path) -> str:
    """A cookies.txt file in Netscape's format."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FommError(f"The cookies file {path} cannot be read: {error}.", "Give a cookies.txt file.") from error
    if not re.search(r"^#.*http cookie file|^[^#\s][^\t]*\t(TRUE|FALSE)\t", text, re.MULTILINE | re.IGNORECASE):
        raise FommError(
            f"{path} is no cookies.txt file.", "Export the cookies in Netscape format, or use --cookies-from-browser."
        )
    return text


def parse_browser(text: str) -> tuple[str, str | None, str | None, str | None]:
    """NAME[+KEYRING][:PROFILE][::CONTAINER] as the four parts that yt-dlp takes: name, profile, keyring, container."""
    from yt_dlp.cookies import SUPPORTED_BROWSERS

    match = re.fullmatch(r"([A-Za-z]+)(?:\+([A-Za-z]+))?(?::(?!:)(.+?))?(?:::(.+))?", text)
    if match is None or match[1].lower() not in SUPPORTED_BROWSERS:
        known = ", ".join(sorted(SUPPORTED_BROWSERS))
        raise FommError(f"--cookies-from-browser {text!r} names no browser.", f"Known: {known}; as in firefox:PROFILE.")
    return match[1].lower(), match[3], match[2].upper() if match[2] else None, match[4]


def javascript_runtime() -> tuple[str, str] | None:
    """(name, path) of a JavaScript runtime that yt-dlp can use for YouTube, or None if there is none here."""
    for name in _RUNTIMES:
        path = shutil.which("qjs" if name == "quickjs" else name)
        if path is not None:
            return name, path
    return None


class Supply(Protocol):
    """Where videos come from; each worker has its own."""

    def fetch(self, video: str) -> Path: ...

    def discard(self, video: str) -> None: ...

    def close(self) -> None: ...


class LocalVideos:
    """A folder of videos named by their ids; they are read and never deleted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix.lower() in VIDEOS | _LOCAL:
                self._paths.setdefault(plain_id(path.stem), path)
                self._paths.setdefault(plain_id(path.stem.split(".", 1)[0]), path)

    def fetch(self, video: str) -> Path:
        if video not in self._paths:
            raise Failure(Reason.ABSENT, f"{self.folder} holds no video named {video}")
        return self._paths[video]

    def discard(self, video: str) -> None:
        pass

    def close(self) -> None:
        pass

"""Why a video could not be had, read off yt-dlp's own errors."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """What kept a video or a clip away. The values are the words of `--retry` and of the final table."""

    GONE = "gone"
    ABSENT = "absent"
    PRIVATE = "private"
    AGE_CHECK = "age-check"
    BOT_CHECK = "bot-check"
    COUNTRY = "country"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    NO_FORMAT = "no-format"
    NETWORK = "network"
    DISK = "disk"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    REFUSED = "refused"
    DAMAGED = "damaged"
    SHORT = "short"
    UNKNOWN = "unknown"


TRANSIENT = frozenset({Reason.NETWORK, Reason.RATE_LIMITED, Reason.DISK})
"""What passes by itself: tried again by every run, whatever --retry names."""

ADVICE = {
    Reason.GONE: "deleted, or its account is",
    Reason.ABSENT: "no file of that name under --videos",
    Reason.PRIVATE: "private or for members: --cookies of an account that may see it",
    Reason.AGE_CHECK: "needs a signed-in adult: --cookies or --cookies-from-browser",
    Reason.BOT_CHECK: "the site doubts this machine: --cookies-from-browser, or another network",
    Reason.COUNTRY: "not shown in this country",
    Reason.FORBIDDEN: "the server answers 403: --cookies, or a newer yt-dlp",
    Reason.RATE_LIMITED: "too many requests: run again later, with --sleep 10",
    Reason.NO_FORMAT: "no video to download there; `fomm doctor` tells whether a JavaScript runtime is missing",
    Reason.NETWORK: "connection failed: the next run tries again",
    Reason.DISK: "no space left",
    Reason.TOO_LARGE: "larger or longer than allowed: --max-size, --max-hours",
    Reason.TOO_SLOW: "took longer than --max-wait allows",
    Reason.REFUSED: "its address is not allowed",
    Reason.DAMAGED: "cannot be decoded: --retry damaged downloads it again",
    Reason.SHORT: "the video ends before the clip does",
    Reason.UNKNOWN: "see the message in the manifest",
}


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - not an error of the program
    """A video or clip that could not be had.

    message   what the site or the library said, kept as it is
    wait      seconds that a rate-limiting server asked for, if it said
    """

    reason: Reason
    message: str
    wait: float | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


_STATUS = {401: Reason.PRIVATE, 402: Reason.PRIVATE, 403: Reason.FORBIDDEN, 404: Reason.GONE, 410: Reason.GONE,
           429: Reason.RATE_LIMITED, 451: Reason.COUNTRY}  # fmt: skip
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

# Looked for in this order, in lower case with straight apostrophes: what is said of the request comes before what is
# said of the video, for a blocked session is told that a video is "unavailable" too.
_PHRASES = (
    (Reason.DISK, r"no space left|disk quota exceeded|read-only file system|unable to (write data|open for writing)"),
    (Reason.RATE_LIMITED, r"rate-?limit|too many requests|http error 429|isn't available, try again later"),
    (Reason.BOT_CHECK, r"not a bot|captcha|anti-bot|ip is likely being blocked|unusual traffic"),
    (Reason.AGE_CHECK, r"confirm your age|age[- ]restricted|age[- ]verif|inappropriate for some users|verify your age"),
    (Reason.COUNTRY, r"your country|geo[- ]?restrict|your location|http error 451"),
    (Reason.PRIVATE, r"private video|video is private|members[- ]only|join this channel|available to this channel's"
                     r"|registered users|granted access|requires payment|premium members|login required"
                     r"|http error 40[12]"),
    (Reason.FORBIDDEN, r"http error 403"),
    (Reason.GONE, r"video unavailable|video is (unavailable|not available|no longer available)|has been removed"
                  r"|been terminated|does not exist|isn't available anymore|no longer available|has been deleted"
                  r"|http error 4(04|10)"),
    (Reason.NO_FORMAT, r"requested format is not available|no video formats|drm protected|unsupported url"
                       r"|only images are available|is not a valid url|no media found|live event|premieres? in"
                       r"|not currently live|ffmpeg could not be found"),
    (Reason.NETWORK, r"timed? ?out|connection|getaddrinfo|name or service|temporary failure|network is unreachable|ssl"
                     r"|bytes read|incomplete|unable to (download|connect)|content too short|downloaded \d+ bytes"
                     r"|http error (5\d\d|416)|did not get any data|remote end closed|giving up after"),
)  # fmt: skip


def classify(error: BaseException) -> Failure:
    """What an error of yt-dlp, or of the system below it, means. Its own words become the message."""
    message = tidy(str(error))
    for part in _chain(error):
        if isinstance(part, Failure):
            return part
        number = getattr(part, "errno", None)
        if isinstance(part, OSError) and (number in NO_SPACE or (number and part.filename)):
            return Failure(Reason.DISK, message)  # of a file: the network's errors name none
        status = getattr(part, "status", None)
        if isinstance(status, int) and status in _STATUS:
            doubted = of_text(message) == Reason.BOT_CHECK  # a 403 may be a challenge to prove that one is human
            return Failure(Reason.BOT_CHECK if doubted else _STATUS[status], message, _retry_after(part))
        if type(part).__name__ == "GeoRestrictedError":
            return Failure(Reason.COUNTRY, message)
    for said in (message, *(tidy(str(part)) for part in _chain(error))):
        reason = of_text(said)
        if reason is not None:
            return Failure(reason, message)
    if any(isinstance(part, OSError) or hasattr(part, "handler") for part in _chain(error)):  # yt-dlp's RequestError
        return Failure(Reason.NETWORK, message)
    return Failure(Reason.UNKNOWN, message)


def of_text(message: str) -> Reason | None:
    """The reason that a message names, or None."""
    plain = message.lower().replace("\u2019", "'").replace("\u2018", "'")
    return next((reason for reason, pattern in _PHRASES if re.search(pattern, plain)), None)


def tidy(message: str) -> str:
    """One line without terminal colours, the word ERROR, and yt-dlp's request to report a bug to its makers."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = re.sub(r"[;.]?\s*please report this issue on.*", "", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split()).removeprefix("ERROR: ").strip()[:600]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was caused by, each once."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        part = pending.pop(0)
        if not isinstance(part, BaseException) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        info = getattr(part, "exc_info", None)
        pending += [info[1] if isinstance(info, tuple) and len(info) > 1 else None]
        pending += [getattr(part, "cause", None), part.__cause__, part.__context__, getattr(part, "reason", None)]


def _retry_after(error: BaseException) -> float | None:
    """Seconds named by a Retry-After header; a date there is not worth the trouble."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("Retry-After") or "").strip()
    return float(value) if value.isdigit() else None

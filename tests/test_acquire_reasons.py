"""What yt-dlp says and what it means: its own sentences, made by its own code where that is possible."""

from __future__ import annotations

import errno
import inspect
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.extractor.youtube import YoutubeIE
from yt_dlp.networking.exceptions import IncompleteRead, TransportError
from yt_dlp.utils import ContentTooShortError, DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from fomm_cli.acquire.reasons import ADVICE, Failure, Reason, classify, of_text, tidy
from fomm_cli.acquire.supply import Downloader, LocalVideos, Wishes, javascript_runtime, parse_browser, read_cookies
from fomm_cli.errors import FommError

SOURCE = "".join(
    (Path(yt_dlp.__file__).parent / name).read_text(encoding="utf-8")
    for name in (
        "extractor/youtube/_video.py",
        "extractor/common.py",
        "YoutubeDL.py",
        "downloader/http.py",
        "utils/_utils.py",
    )
)


def youtube_says(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], details: dict[str, Any] | None = None
) -> Failure:
    """What comes of a video when YouTube answers with this playability: only the network is played by us."""

    def answer(self: YoutubeIE, url: str, *_: object) -> tuple[Any, ...]:
        return "", {}, {}, False, [{"playabilityStatus": status, "videoDetails": details or {}}], None

    monkeypatch.setattr(YoutubeIE, "_initial_extract", answer)
    # The object is yt-dlp's own; only its chatter is turned off.
    library = yt_dlp.YoutubeDL({"quiet": True, "logger": Quiet()})
    with pytest.raises(DownloadError) as caught:
        library.extract_info("https://www.youtube.com/watch?v=abcdefghijk", download=False)
    return classify(caught.value)


def needs_login(reason: str) -> dict[str, Any]:
    return {"status": "LOGIN_REQUIRED", "reason": reason}


def unplayable(reason: str) -> dict[str, Any]:
    return {"status": "UNPLAYABLE", "reason": reason}


def failed(reason: str) -> dict[str, Any]:
    return {"status": "ERROR", "reason": reason}


class Quiet:
    def debug(self, _: str) -> None: ...
    def warning(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.PRIVATE, needs_login("Private video. Sign in if you've been granted access to this video")),
        (Reason.PRIVATE, unplayable("Join this channel to get access to members-only content like this video")),
        (Reason.BOT_CHECK, needs_login("Sign in to confirm you\u2019re not a bot")),
        (Reason.AGE_CHECK, needs_login("Sign in to confirm your age. This video may be inappropriate for some users.")),
        (Reason.RATE_LIMITED, unplayable("This content isn't available, try again later.")),
        (Reason.GONE, failed("Video unavailable. This video has been removed by the uploader")),
        (Reason.GONE, failed("This video is no longer available because the YouTube account has been terminated.")),
        (Reason.GONE, failed("Video unavailable")),
        (Reason.NO_FORMAT, {"status": "OK"}),
    ],
)
def test_what_youtube_answers(monkeypatch: pytest.MonkeyPatch, reason: Reason, status: dict[str, Any]) -> None:
    failure = youtube_says(monkeypatch, status)
    assert failure.reason == reason
    assert status.get("reason", "No video formats found").split(".")[0].replace(
        "\u2019", "'"
    ) in failure.message.replace("\u2019", "'")
    assert "report this issue" not in failure.message


def test_a_captcha_is_a_bot_check(monkeypatch: pytest.MonkeyPatch) -> None:
    status = {"status": "ERROR", "reason": "Video unavailable", "errorScreen": {"playerCaptchaViewModel": {"x": 1}}}
    assert youtube_says(monkeypatch, status).reason == Reason.BOT_CHECK


def test_another_country(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "The uploader has not made this video available in your country"
    screen = {
        "playerErrorMessageRenderer": {"reason": {"simpleText": "Video unavailable"}, "subreason": {"simpleText": said}}
    }
    status = {"status": "UNPLAYABLE", "reason": "Video unavailable", "errorScreen": screen}
    assert youtube_says(monkeypatch, status).reason == Reason.COUNTRY


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.AGE_CHECK, "This video is age-restricted"),
        (Reason.BOT_CHECK, "YouTube is requiring a captcha challenge before playback"),
        (Reason.BOT_CHECK, "Your IP is likely being blocked by Youtube"),
        (Reason.RATE_LIMITED, "has been rate-limited by YouTube"),
        (Reason.PRIVATE, "This video is only available for registered users"),
        (Reason.COUNTRY, "This video is not available from your location due to geo restriction"),
        (Reason.NO_FORMAT, "Requested format is not available"),
        (Reason.NO_FORMAT, "No video formats found!"),
        (Reason.NO_FORMAT, "This video is DRM protected"),
        (Reason.NETWORK, "Unable to download webpage"),
        (Reason.NETWORK, "Did not get any data blocks"),
        (Reason.DISK, "unable to write data: "),
        (Reason.DISK, "unable to open for writing: "),
    ],
)
def test_sentences_in_the_librarys_source(reason: Reason, text: str) -> None:
    assert text in SOURCE, "yt-dlp says it in other words now"
    assert of_text(text) == reason


def test_errors_that_say_what_they_are() -> None:
    assert classify(GeoRestrictedError("not here")).reason == Reason.COUNTRY
    assert classify(UnsupportedError("https://host/page")).reason == Reason.NO_FORMAT
    assert classify(ContentTooShortError(10, 20)).reason == Reason.NETWORK
    assert classify(IncompleteRead(10, 20)).reason == Reason.NETWORK
    assert classify(TransportError("odd words")).reason == Reason.NETWORK
    assert classify(OSError(errno.ENOSPC, "No space left on device")).reason == Reason.DISK
    assert classify(ConnectionResetError()).reason == Reason.NETWORK
    assert classify(PermissionError(errno.EACCES, "Permission denied", "/out/x.part")).reason == Reason.DISK
    assert classify(ValueError("something else")).reason == Reason.UNKNOWN


def test_a_full_disk_behind_a_download_error() -> None:
    error = DownloadError("ERROR: it went wrong")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert classify(error).reason == Reason.DISK


def test_a_challenge_behind_a_403_is_a_bot_check() -> None:
    class Refused(Exception):  # noqa: N818
        status = 403

    error = ExtractorError("Got HTTP Error 403 caused by Cloudflare anti-bot challenge", expected=True, cause=Refused())
    assert classify(error).reason == Reason.BOT_CHECK
    assert classify(ExtractorError("Got HTTP Error 403", expected=True, cause=Refused())).reason == Reason.FORBIDDEN


def test_messages_are_tidied() -> None:
    said = str(ExtractorError("it broke"))
    assert "report this issue" in said
    assert tidy(f"\x1b[0;31mERROR:\x1b[0m {said}") == "it broke"


def test_every_reason_has_advice() -> None:
    assert set(ADVICE) == set(Reason)


def test_a_missing_javascript_runtime_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No supported JavaScript runtime could be found" in SOURCE
    downloader = Downloader(tmp_path, Wishes())
    downloader._log.warning("No supported JavaScript runtime could be found. Only deno is enabled by default")
    failure = downloader._explain(DownloadError("ERROR: Requested format is not available"))
    assert failure.reason == Reason.NO_FORMAT
    assert "fomm doctor" in failure.message
    monkeypatch.setenv("PATH", str(tmp_path))
    assert javascript_runtime() is None
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    assert javascript_runtime() == ("node", str(node))


def test_cookies(tmp_path: Path) -> None:
    good = tmp_path / "cookies.txt"
    good.write_text("# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t0\tname\tvalue\n")
    assert "value" in read_cookies(good)
    downloader = Downloader(tmp_path, Wishes(cookies=good))
    library = downloader._open(frozenset())
    assert [cookie.value for cookie in library.cookiejar] == ["value"]
    before = good.read_bytes()
    downloader.close()
    assert good.read_bytes() == before  # the user's file is never written back
    (tmp_path / "bad.txt").write_text("hello")
    with pytest.raises(FommError, match="no cookies"):
        read_cookies(tmp_path / "bad.txt")


def test_cookies_that_cannot_be_read_are_no_videos_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(FommError, match="cookies of firefox"):
        Downloader(tmp_path, Wishes(browser="firefox")).fetch("abcdefghijk")


def test_browsers() -> None:
    assert parse_browser("firefox") == ("firefox", None, None, None)
    assert parse_browser("Chrome+gnomekeyring:Profile 1::Work") == ("chrome", "Profile 1", "GNOMEKEYRING", "Work")
    for text in ("netscape", "", "firefox+", "--exec"):
        with pytest.raises(FommError):
            parse_browser(text)


def test_no_other_program_is_run_for_a_download(tmp_path: Path) -> None:
    library = Downloader(tmp_path, Wishes())._open(frozenset())
    assert library.params.get("external_downloader") is None
    assert library.params["fixup"] == "never"
    assert not library.params.get("enable_file_urls")
    assert not library._pps["post_process"]
    assert "subprocess" not in inspect.getsource(inspect.getmodule(Downloader))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".ts", ".flv", ".wmv", ".MTS", ".mp4"])
def test_local_videos_of_every_container_are_found(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"abcdefghijk{suffix}").write_bytes(b"x")
    assert LocalVideos(tmp_path).fetch("abcdefghijk").suffix == suffix
    with pytest.raises(Failure) as caught:
        LocalVideos(tmp_path).fetch("kjihgfedcba")
    assert caught.value.reason is Reason.ABSENT

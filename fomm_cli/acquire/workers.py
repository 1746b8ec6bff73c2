"""Fetch a set: download, cut, note, go on; every worker takes one video after another."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fomm_cli.acquire.cutting import Outcome, Style, count_frames, cut_video
from fomm_cli.acquire.manifest import Manifest
from fomm_cli.acquire.reasons import ADVICE, TRANSIENT, Failure, Reason
from fomm_cli.acquire.supply import Downloader, LocalVideos, Supply, Wishes
from fomm_cli.acquire.table import PARTITIONS, Cut
from fomm_cli.errors import FommError, counted
from fomm_cli.shards import Shard

BOT_CHECKS = 3  # in a row, after which every further video would only be told the same

LOST_CONNECTIONS = 10  # in a row, after which the network and not the videos is at fault

LONGEST_PAUSE = 3600.0


@dataclass(frozen=True)
class Job:
    """What to fetch and how.

    workers     videos at once
    retry       reasons whose videos and clips are tried again; others that failed before are left alone
    keep        keep the downloaded videos
    videos      a folder of videos that are there already: nothing is downloaded
    backoff     seconds of the first pause when a server says it is too much; doubled each time
    patience    seconds of such pauses in a row after which the run stops, to be resumed another time
    """

    cuts: Sequence[Cut]
    out: Path
    style: Style = field(default_factory=Style)
    wishes: Wishes = field(default_factory=Wishes)
    shard: Shard = field(default_factory=Shard)
    workers: int = 4
    retry: frozenset[Reason] = frozenset()
    keep: bool = False
    videos: Path | None = None
    backoff: float = 60.0
    patience: float = 6 * 3600.0
    threads: int = 1

    @property
    def settings(self) -> dict[str, object]:
        """What all clips of one folder must share."""
        return {"size": self.style.size, "format": self.style.kind, "fit": self.style.fit}


@dataclass
class Pause:
    """One pause for all workers when a server says that it is too much, longer each time until something succeeds."""

    first: float
    patience: float
    stopped: Callable[[], bool]
    say: Callable[[str], None]
    _until: float = 0.0
    _next: float = 0.0
    _spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, failure: Failure) -> None:
        """Called by a worker that was refused; others that were refused meanwhile share the pause."""
        with self._lock:
            if time.monotonic() < self._until:
                return
            length = max(self._next or self.first, min(failure.wait or 0.0, LONGEST_PAUSE))
            if self._spent + length > self.patience:
                raise FommError(
                    f"The server still refuses after {self._spent:.0f} s of waiting: {failure.message}",
                    "Nothing is lost: run the same command later, with --sleep 10 or fewer --workers.",
                )
            self._next, self._spent = min(length * 2, LONGEST_PAUSE), self._spent + length
            self._until = time.monotonic() + length
        self.say(f"rate-limited: waiting {length:.0f} s ({failure.message})")

    def wait(self) -> None:
        """Return when no pause is on, or the run is being stopped."""
        while not self.stopped() and (left := self._until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def end(self) -> None:
        """Something succeeded: the next pause is a short one again."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._next = self._spent = 0.0


class Fetch:
    """One run over a job."""

    def __init__(
        self, job: Job, manifest: Manifest, say: Callable[[str], None], supply: Callable[[], Supply] | None = None
    ) -> None:
        self.job, self.manifest, self._say = job, manifest, say
        self._stop = threading.Event()
        self._pause = Pause(job.backoff, job.patience, self._stop.is_set, say)
        self._supply = supply or self._default_supply
        self._local = threading.local()
        self._supplies: list[Supply] = []
        self._lock = threading.Lock()
        self._streak = {Reason.BOT_CHECK: 0, Reason.NETWORK: 0}
        self._finished = self._all = 0

    @property
    def folder(self) -> Path:
        """Where downloads lie: for good, or while they are needed."""
        return self.job.out / ("videos" if self.job.keep else ".videos")

    def _default_supply(self) -> Supply:
        if self.job.videos is not None:
            return LocalVideos(self.job.videos)
        return Downloader(self.folder, self.job.wishes, self._stop.is_set)

    def run(self) -> None:
        """Work until every video is decided. Raises FommError when going on would be useless; all is kept till then."""
        todo = self._todo()
        self._all = len(todo)
        self._sweep()
        videos = len({cut.video for cut in self.job.cuts})
        self.manifest.plan(videos, len(self.job.cuts), self.job.settings, shard=str(self.job.shard))
        with ThreadPoolExecutor(max(1, self.job.workers)) as pool:
            try:
                self._drain(pool, list(todo.items()))
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                for supply in self._supplies:
                    supply.close()
        with suppress(OSError):
            self.folder.rmdir()

    def _drain(self, pool: ThreadPoolExecutor, todo: list[tuple[str, list[Cut]]]) -> None:
        """Keep every worker busy without queueing thousands of videos, and look up often enough to be interrupted."""
        running: set[Future[None]] = set()
        while todo or running:
            while todo and len(running) < self.job.workers:
                running.add(pool.submit(self._video, *todo.pop(0)))
            done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _todo(self) -> dict[str, list[Cut]]:
        """The videos that still have clips to cut, with those clips; failures named by `retry` are forgotten first.

        A run killed between a video's last clip and its end leaves a video with no clips to cut and all else to do.
        """
        state = self.manifest.state
        pending: dict[str, list[Cut]] = {}
        for cut in self.job.cuts:
            record = state.clips.get(cut.name)
            if record is not None and record.state == "failed" and record.reason in self.job.retry | TRANSIENT:
                self.manifest.forget("clip", cut.name)
                record = None
            if record is not None and record.state == "done" and not self.job.style.file(self.job.out, cut).exists():
                self.manifest.forget("clip", cut.name)
                record = None
            if record is None:
                pending.setdefault(cut.video, []).append(cut)
            elif cut.video not in state.videos:
                pending.setdefault(cut.video, [])
        for video in pending:
            if video in state.videos:  # whatever was said of it, clips of it are wanted again
                self.manifest.forget("video", video)
        return pending

    def _sweep(self) -> None:
        """Delete the unfinished files that a killed run has left of clips that are ours to cut."""
        ours = {cut.name[:100] for cut in self.job.cuts}
        for partition in PARTITIONS:
            for path in (self.job.out / partition).glob(".*.part*"):
                match = re.match(r"\.(.+)\.[0-9a-f]{8}\.part", path.name)
                if match is None or match[1] not in ours:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _video(self, video: str, cuts: list[Cut]) -> None:
        """Fetch one video and cut its clips; whatever happens is in the manifest when this returns."""
        if self._stop.is_set():
            return
        supply = self._mine()
        cuts = [cut for cut in cuts if not self._adopt(cut)]
        lost: list[Outcome] = []
        if cuts:
            try:
                path = self._fetch(supply, video)
                if path is None:
                    return
                cut_video(path, cuts, self.job.out, self.job.style, lambda outcome: self._note(outcome, lost),
                          self._stop.is_set, self.job.threads, force=True)  # fmt: skip
            except Failure as failure:
                self._lose(video, cuts, failure)
                if failure.reason == Reason.DAMAGED:
                    supply.discard(video)
                return
            if self._stop.is_set():
                return
        self.manifest.video(video)
        if not self.job.keep or any(outcome.failure and outcome.failure.reason == Reason.DAMAGED for outcome in lost):
            supply.discard(video)
        said = f", {len(lost)} lost ({lost[0].failure})" if lost else ""
        self._tell(video, f"{counted(len(cuts) - len(lost), 'clip')}{said}")

    def _mine(self) -> Supply:
        if not hasattr(self._local, "supply"):
            self._local.supply = self._supply()
            with self._lock:
                self._supplies.append(self._local.supply)
        return self._local.supply

    def _fetch(self, supply: Supply, video: str) -> Path | None:
        """The video's file; waits out rate limits, however long, and gives up only when the run is stopped."""
        while True:
            self._pause.wait()
            if self._stop.is_set():
                return None
            try:
                path = supply.fetch(video)
            except KeyboardInterrupt:  # how a download is told of `stop`
                return None
            except Failure as failure:
                if failure.reason == Reason.DISK:
                    raise FommError(
                        f"Nothing more can be written: {failure.message}", "Free some space and run again."
                    ) from failure
                if failure.reason != Reason.RATE_LIMITED:
                    self._pause.end()
                    self._count(failure)
                    raise
                self._pause.begin(failure)
                continue
            self._pause.end()
            self._count(None)
            return path

    def _count(self, failure: Failure | None) -> None:
        """Stop the run when the same thing is said of one video after another: it is not about the videos."""
        with self._lock:
            for reason in self._streak:
                self._streak[reason] = (
                    self._streak[reason] + 1 if failure is not None and failure.reason == reason else 0
                )
            if self._streak[Reason.BOT_CHECK] >= BOT_CHECKS:
                raise FommError(
                    f"The site asks for proof that this is no robot: {failure}",
                    "Pass --cookies-from-browser or --cookies, or use another network; then --retry bot-check.",
                )
            if self._streak[Reason.NETWORK] >= LOST_CONNECTIONS:
                raise FommError(
                    f"{LOST_CONNECTIONS} videos in a row could not be reached: {failure}",
                    "Check the network and run again.",
                )

    def _adopt(self, cut: Cut) -> bool:
        """A clip that a killed run finished but did not come to note is taken as it is: clips are whole or absent."""
        path = self.job.style.file(self.job.out, cut)
        frames = count_frames(path) if path.exists() else 0
        if frames:
            self.manifest.clip(cut.name, cut.video, cut.partition, frames)
        return frames > 0

    def _note(self, outcome: Outcome, lost: list[Outcome]) -> None:
        cut, failure = outcome.cut, outcome.failure
        if failure is None:
            self.manifest.clip(cut.name, cut.video, cut.partition, outcome.frames)
        else:
            lost.append(outcome)
            self.manifest.clip_failed(cut.name, cut.video, cut.partition, failure.reason, failure.message)

    def _lose(self, video: str, cuts: Sequence[Cut], failure: Failure) -> None:
        for cut in cuts:
            self.manifest.clip_failed(cut.name, video, cut.partition, failure.reason, failure.message)
        self.manifest.video(video, failure.reason, failure.message)
        self._tell(video, f"{failure.reason} ({ADVICE[failure.reason]}): {failure.message}")

    def _tell(self, video: str, what: str) -> None:
        with self._lock:
            self._finished += 1
            count = self._finished
        self._say(f"[{count}/{self._all}] {video}: {what}")

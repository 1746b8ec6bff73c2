"""Clips in and out: exact times and counts, rotation, colours, sound in step, and clear refusals."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.media.video import VideoWriter, probe, read_frames, read_timed
from fomm_cli.media.write import _coding, clock
from tests.clips import first_beep, shades, turn, write_clip

NTSC = Fraction(30000, 1001)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def copy(source: Path, target: Path, **options: object) -> Path:
    info = probe(source)
    with VideoWriter(target, info.rate, time_base=info.time_base, **options) as writer:  # type: ignore[arg-type]
        for timed in read_timed(source):
            writer.write(*timed)
    return target


def test_probe_and_read_a_plain_clip(tmp_path: Path) -> None:
    frames = shades(12)
    path = write_clip(tmp_path / "a.mp4", frames, NTSC)
    info = probe(path)
    assert (info.width, info.height, info.frames, info.rate) == (64, 48, 12, NTSC)
    assert (info.has_audio, info.rotation, info.variable_rate, info.codec) == (False, 0, False, "h264")
    assert info.duration == 12 / NTSC
    read = list(read_timed(path))
    assert [time for _, time, _ in read] == [n / NTSC for n in range(12)]
    assert max(difference(a, b) for a, (b, _, _) in zip(frames, read, strict=True)) < 4
    middle = list(read_frames(path, 3, 5))
    assert len(middle) == 2
    assert difference(middle[0], frames[3]) < 4


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    frames = shades(3)
    path = write_clip(tmp_path / "r.mp4", frames)
    turn(path, degrees)
    info = probe(path)
    expected = np.rot90(frames[2], degrees // 90)
    assert info.rotation == degrees
    assert (info.height, info.width) == expected.shape[:2]
    assert difference(list(read_frames(path))[2], expected) < 4


def test_variable_rate_survives_a_copy_to_the_tick(tmp_path: Path) -> None:
    times = [Fraction(t, 1000) for t in (0, 40, 55, 200, 210, 480, 481, 900)]
    source = write_clip(tmp_path / "v.mp4", shades(8), Fraction(10), times, time_base=Fraction(1, 1000))
    assert probe(source).variable_rate
    assert [t for _, t, _ in read_timed(source)] == times
    for name in ("o.mp4", "o.webm", "o.mkv"):
        out = copy(source, tmp_path / name)
        assert [t for _, t, _ in read_timed(out)] == times, name
        assert probe(out).variable_rate


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".mov"])
@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(60)])
def test_constant_rates_stay_exact_through_every_container(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    source = write_clip(
        tmp_path / f"s{suffix}", shades(9), rate, codec="libvpx-vp9" if suffix == ".webm" else "libx264"
    )
    out = copy(source, tmp_path / f"o{suffix}")
    assert probe(out).rate == rate
    assert probe(out).frames == 9
    assert not probe(out).variable_rate
    assert [t for _, t, _ in read_timed(out)] == [n / rate for n in range(9)]


def test_odd_sizes_grow_by_their_last_line_for_h264_only(tmp_path: Path) -> None:
    frames = shades(3, 33, 45)
    for name, size in (("o.mp4", (34, 46)), ("o.webm", (33, 45)), ("o.gif", (33, 45)), ("folder", (33, 45))):
        with VideoWriter(tmp_path / name, Fraction(25)) as writer:
            for frame in frames:
                writer.write(frame)
        back = list(read_frames(tmp_path / name))
        assert [f.shape[:2] for f in back] == [size] * 3
        assert difference(back[1][:33, :45], frames[1]) < 5


def test_written_mp4_plays_anywhere(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "o.mp4", Fraction(25), crf=30) as writer:
        for frame in shades(5):
            writer.write(frame)
    data = (tmp_path / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index stands first, so that playing starts at once"
    with av.open(str(tmp_path / "o.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert context.name == "h264"
        assert context.pix_fmt == "yuv420p"
        assert (context.colorspace, context.color_range) == (1, 1)


def test_crf_changes_the_size(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    sizes = []
    for crf in (10, 40):
        with VideoWriter(tmp_path / f"{crf}.mp4", Fraction(25), crf=crf) as writer:
            for frame in noise:
                writer.write(frame)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1]
    with pytest.raises(FommError, match="out of range"):
        VideoWriter(tmp_path / "x.mp4", Fraction(25), crf=60)


def test_colours_of_unlabelled_and_labelled_clips(tmp_path: Path) -> None:
    red = [np.full((64, 64, 3), (200, 40, 30), dtype=np.uint8)] * 2
    with VideoWriter(tmp_path / "o.mp4", Fraction(25)) as writer:
        for frame in red:
            writer.write(frame)
    assert difference(next(read_frames(tmp_path / "o.mp4")), red[0]) < 3, "we write and read BT.709"
    path = write_clip(tmp_path / "small.mp4", red)
    assert difference(next(read_frames(path)), red[0]) < 3, "unlabelled small clips are BT.601"


def test_gif_timing_transparency_and_palette(tmp_path: Path) -> None:
    frames = shades(5)
    with VideoWriter(tmp_path / "o.gif", Fraction(20)) as writer:
        for frame in frames:
            writer.write(frame)
    info = probe(tmp_path / "o.gif")
    assert (info.frames, info.rate, info.codec) == (5, 20, "gif")
    back = list(read_timed(tmp_path / "o.gif"))
    assert [t for _, t, _ in back] == [Fraction(n, 20) for n in range(5)]
    assert max(difference(a, b) for a, (b, _, _) in zip(frames, back, strict=True)) < 5

    clear = [Image.new("P", (16, 16), 0) for _ in range(2)]
    for image in clear:
        image.putpalette([0, 0, 0, 255, 0, 0])
    clear[1].paste(1, (0, 0, 8, 16))
    clear[0].save(
        tmp_path / "t.gif",
        save_all=True,
        append_images=clear[1:],
        transparency=0,
        duration=[70, 130],
        disposal=2,
        loop=0,
    )
    read = list(read_timed(tmp_path / "t.gif"))
    assert len(read) == 2
    assert read[1][1] == Fraction(7, 100)
    assert read[1][0][8, 12].tolist() == [255, 255, 255], "what is transparent is white"
    assert read[1][0][8, 4].tolist() == [255, 0, 0]


def test_folder_of_pictures_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 10, 9, 100):
        Image.new("RGB", (20, 18), (number, 0, 0)).save(folder / f"f{number}.png")
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_text("not a frame either")
    assert [int(f[0, 0, 0]) for f in read_frames(folder)] == [1, 2, 9, 10, 100]
    info = probe(folder)
    assert (info.width, info.height, info.frames, info.rate, info.codec) == (20, 18, 5, 25, "images")
    assert [t for _, t, _ in read_timed(folder, 1, 3)] == [Fraction(1, 25), Fraction(2, 25)]
    Image.new("RGB", (21, 18)).save(folder / "f11.png")
    with pytest.raises(FommError, match="one size"):
        list(read_frames(folder))


def test_an_animated_webp_is_a_clip(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (24, 16), (60 * n, 0, 0)) for n in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=50, lossless=True)
    assert (probe(tmp_path / "a.webp").frames, probe(tmp_path / "a.webp").rate) == (4, 20)
    read = list(read_timed(tmp_path / "a.webp"))
    assert [int(f[0, 0, 0]) for f, _, _ in read] == [0, 60, 120, 180]
    assert read[3][1] == Fraction(3, 20)


def flash(path: Path) -> float:
    return next(float(time) for frame, time, _ in read_timed(path) if frame[2:10, 2:10].mean() > 128)


@pytest.mark.parametrize(
    ("name", "codec", "out", "sound"),
    [
        ("s.mp4", "aac", "o.mp4", "aac"),  # copied
        ("s.mpg", "mp2", "o.mp4", "aac"),  # encoded again
        ("s.ts", "mp2", "o.webm", "opus"),  # a file that does not begin at 0
        ("s.mkv", "libopus", "o.webm", "opus"),  # copied
        ("s.mkv", "flac", "o.mkv", "flac"),
        ("s.mp4", "aac", "o.gif", None),
        ("s.mp4", "aac", "folder", None),
    ],
)
def test_sound_goes_along_in_step(tmp_path: Path, name: str, codec: str, out: str, sound: str | None) -> None:
    """A flash and a beep at 0.6 s stay together."""
    frames = [np.full((48, 48, 3), 255 if n == 15 else 16, dtype=np.uint8) for n in range(30)]
    video = "mpeg1video" if name == "s.mpg" else "mpeg2video" if name == "s.ts" else "libx264"
    source = write_clip(tmp_path / name, frames, Fraction(25), codec=video, sound=codec, beeps=[Fraction(15, 25)])
    assert probe(source).has_audio
    before = flash(source) - first_beep(source)
    result = copy(source, tmp_path / out, audio_from=source)
    assert probe(result).frames == len(list(read_frames(source)))
    assert probe(result).has_audio == (sound is not None)
    if sound is None:
        return
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == sound
    assert flash(result) - first_beep(result) == pytest.approx(before, abs=0.03)
    with av.open(str(result)) as container:
        track = container.streams.audio[0]
        length = sum(packet.duration or 0 for packet in container.demux(track)) * track.time_base
    assert float(length) == pytest.approx(1.2, abs=0.1), "all of the sound is there"


@pytest.mark.parametrize(("name", "codec"), [("s.mp4", "aac"), ("s.mp4", "libmp3lame"), ("s.webm", "libopus")])
def test_sound_is_copied_where_the_container_takes_it(tmp_path: Path, name: str, codec: str) -> None:
    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    video = "libvpx-vp9" if name == "s.webm" else "libx264"
    source = write_clip(tmp_path / name, shades(20), codec=video, sound=codec, beeps=[Fraction(1, 5)])
    out = copy(source, tmp_path / f"o{source.suffix}", audio_from=source)
    assert packets(out) == packets(source)


def test_sound_that_starts_later_stays_later(tmp_path: Path) -> None:
    """A clip whose first frame comes after its sound: the distance is kept."""
    times = [Fraction(n, 25) + Fraction(3, 10) for n in range(20)]
    source = write_clip(tmp_path / "late.mp4", shades(20), times=times, time_base=Fraction(1, 1000), sound="aac")
    assert next(read_timed(source))[1] == pytest.approx(0.3, abs=0.03)
    out = copy(source, tmp_path / "o.mp4", audio_from=source)
    first = next(read_timed(source))[1]
    assert float(next(read_timed(out))[1]) == pytest.approx(float(first), abs=0.03)
    silent = copy(source, tmp_path / "silent.mp4")
    assert next(read_timed(silent))[1] == 0, "alone, the picture starts at once"


def test_no_sound_is_no_error(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "s.mp4", shades(4))
    assert not probe(copy(source, tmp_path / "o.mp4", audio_from=source)).has_audio


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    def fail(name: str) -> None:
        with VideoWriter(tmp_path / name, Fraction(25)) as writer:
            writer.write(shades(1)[0])
            raise KeyboardInterrupt

    for name in ("a.mp4", "a.webm", "a.gif", "a.webp", "a.apng", "folder"):
        with pytest.raises(KeyboardInterrupt):
            fail(name)
        with pytest.raises(FommError, match="no frames"), VideoWriter(tmp_path / name, Fraction(25)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_existing_outputs_and_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("mine")
    with pytest.raises(FommError, match="exists already"), VideoWriter(tmp_path / "a.mp4", Fraction(25)):
        pytest.fail("the body must not run")
    with VideoWriter(tmp_path / "a.mp4", Fraction(25), force=True) as writer:
        writer.write(shades(1)[0])
    assert probe(tmp_path / "a.mp4").frames == 1
    with pytest.raises(FommError, match="no suffix of a format"):
        VideoWriter(tmp_path / "a.wmv", Fraction(25))


def test_frames_of_another_size_or_type_are_a_mistake(tmp_path: Path) -> None:
    def write(*frames: np.ndarray) -> None:
        with VideoWriter(tmp_path / "a.mp4", Fraction(25)) as writer:
            for frame in frames:
                writer.write(frame)

    with pytest.raises(ValueError, match="frame 1 is"):
        write(*shades(1), *shades(1, 32, 32))
    with pytest.raises(ValueError, match="uint8"):
        write(np.zeros((8, 8, 3), np.float32))


def test_large_frames_are_not_gathered_by_the_dozen() -> None:
    assert _coding(".mp4", 18, False, (1080, 1920)).settings == {"crf": "18"}
    assert _coding(".mp4", 18, False, (3000, 3000)).settings["rc-lookahead"] == "9"
    assert _coding(".mov", 18, False, (6000, 6000)).settings == {
        "crf": "18",
        "rc-lookahead": "5",
        "bf": "0",
        "refs": "1",
    }
    assert _coding(".webm", 18, True, (6000, 6000)).settings["lag-in-frames"] == "5"
    assert "lag-in-frames" not in _coding(".webm", 18, True, (1080, 1920)).settings


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", ".apng", ""])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("resource", reason="limits a file's size, which only POSIX systems can")
    script = (
        "import resource, sys\nimport numpy as np\nfrom fractions import Fraction\n"
        "from fomm_cli.errors import FommError\nfrom fomm_cli.media.video import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8)\n"
        "try:\n"
        "    with VideoWriter(sys.argv[1], Fraction(25), crf=1) as writer:\n"
        "        for frame in noise: writer.write(frame)\n"
        "except FommError as error: print(error.what)\n"
    )
    out = tmp_path / f"a{suffix}"
    done = subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True, text=True)
    assert "no space is left" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_truncated_clips_are_refused(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8))
    plain = write_clip(tmp_path / "p.mp4", noise).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(plain[: len(plain) * 2 // 3])
    with pytest.raises(FommError, match="cannot be read as a video") as caught:
        probe(tmp_path / "headless.mp4")
    assert "incomplete" in caught.value.hint
    fast = write_clip(tmp_path / "f.mp4", noise, options={"movflags": "+faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(fast[: len(fast) * 2 // 3])
    with pytest.raises(FommError, match=r"incomplete: [\d,]+ of its [\d,]+ bytes"):
        next(read_frames(tmp_path / "cut.mp4"))
    for name, codec in (("cut.mkv", "libx264"), ("cut.webm", "libvpx-vp9"), ("cut.avi", "mpeg4")):
        whole = write_clip(tmp_path / name, noise, codec=codec)
        assert len(list(read_frames(whole))) == 30
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        with pytest.raises(FommError, match=r"incomplete: [\d,]+ of its|damaged after"):
            list(read_frames(whole))


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a video, however it is called" * 10)
    (tmp_path / "page.mp4").write_text("<!DOCTYPE html><html>quota exceeded</html>")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=48000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        block.sample_rate = 48000
        container.mux(track.encode(block))
        container.mux(track.encode())
    for name, said in (
        ("text.mp4", "cannot be read as a video"),
        ("page.mp4", "web page"),
        ("empty.mp4", "is empty"),
        ("absent.mp4", "does not exist"),
        ("nothing", "no pictures"),
        ("sound.mp4", "no picture in it"),
    ):
        with pytest.raises(FommError, match=said):
            probe(tmp_path / name)
        with pytest.raises(FommError, match=said):
            list(read_frames(tmp_path / name))


def test_a_clip_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zero.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    with pytest.raises(FommError, match=r"no frame|cannot be read|damaged"):
        probe(path)
    with pytest.raises(FommError, match=r"no frame|cannot be read|damaged"):
        list(read_frames(path))


def test_a_clip_may_not_reach_for_other_files(tmp_path: Path) -> None:
    """A playlist under a video's name would make ffmpeg open whatever it lists."""
    clip = write_clip(tmp_path / "clip.ts", shades(4), codec="mpeg2video")
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(FommError, match="cannot be read"):
        probe(playlist)
    concat = tmp_path / "list.mkv"
    concat.write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    with pytest.raises(FommError, match="cannot be read"):
        probe(concat)


def test_clock_holds_both_rates() -> None:
    assert clock(Fraction(25), None) == Fraction(1, 25)
    assert clock(NTSC, None) == Fraction(1001, 30000)
    assert clock(NTSC, Fraction(1, 1000)) == Fraction(1, 30000)
    assert clock(Fraction(25), Fraction(1, 90000)) == Fraction(1, 90000)
    assert clock(Fraction(123457, 1000), Fraction(1, 90001)) == Fraction(1, 90000)


@pytest.mark.parametrize("name", ["a:b.mp4", "a:b.gif"])
def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path(name), Fraction(25)) as writer:
        for frame in shades(3, 16, 16):
            writer.write(frame)
    assert sum(1 for _ in read_frames(Path(name))) == 3

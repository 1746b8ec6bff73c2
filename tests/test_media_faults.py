"""Odd and broken files as cameras, recorders and other programs make them: the right value, or one clear refusal."""

from __future__ import annotations

import itertools
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.media import colour, kinds
from fomm_cli.media.image import read_image
from fomm_cli.media.truncation import check_whole
from fomm_cli.media.video import Reading, VideoWriter, probe, read_frames, read_timed
from tests.clips import shades, write_clip

EVEN = [Fraction(n, 25) for n in range(30)]


def ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def times(path: Path) -> list[Fraction]:
    return [time for _, time, _ in read_timed(path)]


def spacing(path: Path) -> list[Fraction]:
    found = times(path)
    return [time - found[0] for time in found]


def copy(source: Path, target: Path, **options: Any) -> VideoWriter:
    info = probe(source)
    with VideoWriter(target, info.rate, time_base=info.time_base, audio_from=source, **options) as writer:
        for timed in read_timed(source):
            writer.write(*timed)
    return writer


def seconds_of_sound(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [f for packet in container.demux(stream) if packet.size for f in packet.decode()]
        frames += stream.codec_context.decode(None)
        return sum(frame.samples / frame.sample_rate for frame in frames)


def broadcast(path: Path, *layouts: str, codec: str = "mp2") -> Path:
    """Transport streams of 25 frames joined by appending, each with its own sound and its clock set anew."""
    parts = []
    for number, layout in enumerate(layouts):
        part = path.with_name(f"part{number}.ts")
        channels = {"mono": 1, "stereo": 2}.get(layout, 1)
        rate = 44100 if layout == "44100" else 48000
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1", "-f", "lavfi", "-i",
               f"sine=frequency=440:duration=1:sample_rate={rate}", "-c:v", "mpeg2video", "-c:a", codec, "-ac",
               channels, part)  # fmt: skip
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


# ---------------------------------------------------------------------------------------------------------------- time


def test_b_frames_in_avi_come_in_their_turn(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "b.avi", shades(30), options={})
    assert probe(path).rate == 25
    assert not probe(path).variable_rate
    assert times(path) == EVEN
    greys = [int(frame[30, 50, 0]) for frame in read_frames(path)]
    assert all(abs(a - int(b[30, 50, 0])) < 4 for a, b in zip(greys, shades(30), strict=True))


@pytest.mark.parametrize("name", ["last.gif", "last.webp", "last.png"])
def test_the_last_frame_of_an_animation_lasts(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(frame) for frame in shades(4)]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 3000])
    read = list(read_timed(tmp_path / name))
    assert [(time, lasts) for _, time, lasts in read] == [(Fraction(n, 10), Fraction(1, 10)) for n in range(3)] + [
        (Fraction(3, 10), 3)
    ]
    for target in ("o.mp4", "o.mkv", "o.webm", "o.mov", "o.gif"):
        copy(tmp_path / name, tmp_path / target, force=True)
        back = list(read_timed(tmp_path / target))
        assert [time for _, time, _ in back] == [Fraction(n, 10) for n in range(4)], target
        assert back[-1].lasts == 3, target
        with av.open(str(tmp_path / target)) as container:
            assert container.duration == 3_300_000, target


def test_lengths_of_variable_clips_survive_b_frames(tmp_path: Path) -> None:
    at = [Fraction(t, 1000) for t in (0, 40, 100, 200, 280, 500, 520, 900)]
    with VideoWriter(tmp_path / "a.mp4", Fraction(10), time_base=Fraction(1, 1000)) as writer:
        for frame, time, until in zip(shades(8), at, [*at[1:], Fraction(33, 10)], strict=True):
            writer.write(frame, time, until - time)
    back = list(read_timed(tmp_path / "a.mp4"))
    assert [time for _, time, _ in back] == at
    assert back[-1].time + back[-1].lasts == Fraction(33, 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].duration * container.streams.video[0].time_base == Fraction(33, 10)


def test_variable_times_are_not_moved_to_the_average_rate(tmp_path: Path) -> None:
    at = [Fraction(t, 1000) for t in (0, 100, 200, 300, 365)]
    path = write_clip(tmp_path / "v.mkv", shades(5), Fraction(137, 10), at, time_base=Fraction(1, 1000))
    assert times(path) == at
    pictures = [Image.fromarray(frame) for frame in shades(4)]
    pictures[0].save(tmp_path / "z.gif", save_all=True, append_images=pictures[1:], duration=[100, 0, 100, 100])
    assert times(tmp_path / "z.gif") == [Fraction(n, 10) for n in range(4)]
    thirds = [Fraction(t, 100) for t in (0, 3, 7, 10, 13)]
    pictures[0].save(tmp_path / "t.gif", save_all=True, append_images=[*pictures[1:], pictures[1]],
                     duration=[30, 40, 30, 30, 30])  # fmt: skip
    assert times(tmp_path / "t.gif") == thirds, "a GIF's viewers go by its hundredths"


def test_repeated_frames_of_theora_are_frames_that_last(tmp_path: Path) -> None:
    still = tmp_path / "still"
    still.mkdir()
    for number in range(30):
        Image.fromarray(shades(30)[0 if 5 <= number < 25 else number]).resize((64, 48)).save(
            still / f"{number:02d}.png"
        )
    ffmpeg("-framerate", 25, "-i", still / "%02d.png", "-c:v", "libtheora", "-g", 10, tmp_path / "r.ogv")
    with av.open(str(tmp_path / "r.ogv")) as container:
        empty = [packet for packet in container.demux(video=0) if not packet.size and packet.pts is not None]
    assert empty, "this encoder repeats frames with empty packets"
    found = times(tmp_path / "r.ogv")
    assert len(found) == 30 - len(empty) == probe(tmp_path / "r.ogv").frames
    assert set(found) <= set(EVEN)
    assert found[-1] == EVEN[-1]


@pytest.mark.parametrize(("name", "codec"), [("v.flv", "flv"), ("v.ts", "mpeg2video"), ("v.mpg", "mpeg1video")])
def test_formats_that_cannot_be_wound_back(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, shades(30), codec=codec)
    info = probe(path)
    assert (info.frames, info.width, info.height) == (30, 64, 48)
    assert [float(t) for t in spacing(path)] == pytest.approx([float(t) for t in EVEN], abs=1e-3)


def test_a_clock_that_wraps_runs_on(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=2", "-c:v", "mpeg2video", "-output_ts_offset",
           2**33 / 90000 - 1.4 - 0.7, tmp_path / "w.ts")  # fmt: skip
    assert probe(tmp_path / "w.ts").frames == 50
    assert spacing(tmp_path / "w.ts") == [Fraction(n, 25) for n in range(50)]


def test_a_span_of_a_clip(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", shades(25), sound="aac", beeps=[Fraction(12, 25)])
    some = list(read_timed(path, how=Reading(begin=Fraction(1, 2), end=Fraction(7, 10))))
    assert [float(time) for _, time, _ in some] == pytest.approx([0, 0.02, 0.06, 0.1, 0.14, 0.18])
    assert sum(lasts for _, _, lasts in some) == Fraction(2, 10)
    assert abs(int(some[1].frame[30, 50, 0]) - int(shades(25)[13][30, 50, 0])) < 4


# --------------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("codec", ["flac", "alac", "mp2"])
def test_sound_is_carried_to_its_end(tmp_path: Path, codec: str) -> None:
    source = write_clip(tmp_path / ("s.mov" if codec == "alac" else "s.mkv"), shades(50), sound=codec)
    writer = copy(source, tmp_path / "o.webm")
    assert writer.heard
    assert seconds_of_sound(tmp_path / "o.webm") >= seconds_of_sound(source) - 0.01


@pytest.mark.parametrize("second", ["stereo", "44100", "mono"])
@pytest.mark.parametrize(("codec", "target"), [("mp2", "o.mp4"), ("aac", "o.mp4"), ("aac", "o.webm")])
def test_joined_broadcasts_keep_picture_and_sound(tmp_path: Path, codec: str, target: str, second: str) -> None:
    source = broadcast(tmp_path / "j.ts", "mono", second, codec=codec)
    assert probe(source).frames == 50
    found = spacing(source)
    assert float(found[-1]) == pytest.approx(49 / 25, abs=0.06)
    assert min(b - a for a, b in itertools.pairwise(found)) > Fraction(3, 100)
    writer = copy(source, tmp_path / target)
    assert writer.heard
    assert [float(t) for t in spacing(tmp_path / target)] == pytest.approx([float(t) for t in found], abs=2e-3)
    assert seconds_of_sound(tmp_path / target) == pytest.approx(2, abs=0.12)


def test_sound_nobody_can_decode_is_not_claimed(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "u.mov", shades(10), sound="alac")
    path.write_bytes(path.read_bytes().replace(b"alac", b"zzzz"))
    assert not probe(path).has_audio
    assert "unknown" in probe(path).mute
    assert not copy(path, tmp_path / "o.mp4").heard
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert not container.streams.audio


def test_the_default_tracks_are_taken(tmp_path: Path) -> None:
    for number, colour_name in enumerate(("red", "blue")):
        ffmpeg("-f", "lavfi", "-i", f"color={colour_name}:size=64x48:rate=25:duration=1", "-f", "lavfi", "-i",
               f"sine=frequency={440 * (number + 1)}:duration=1", "-c:v", "libx264", "-c:a", "flac",
               tmp_path / f"{number}.mkv")  # fmt: skip
    ffmpeg("-i", tmp_path / "0.mkv", "-i", tmp_path / "1.mkv", "-map", "0:v", "-map", "1:v", "-map", "0:a", "-map",
           "1:a", "-c", "copy", "-disposition:v:0", 0, "-disposition:v:1", "default", "-disposition:a:0", 0,
           "-disposition:a:1", "default", tmp_path / "two.mkv")  # fmt: skip
    blue = next(read_frames(tmp_path / "two.mkv"))[20, 20]
    assert blue[2] > 200 > 50 > blue[0]
    for track, pitch in ((None, 880), (1, 440), (2, 880)):
        copy(tmp_path / "two.mkv", tmp_path / "o.mkv", track=track, force=True)
        with av.open(str(tmp_path / "o.mkv")) as container:
            wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        crossings = np.count_nonzero(np.diff(np.signbit(wave)))
        assert crossings == pytest.approx(2 * pitch, rel=0.02), track
    with pytest.raises(FommError, match="no sound track 3"):
        copy(tmp_path / "two.mkv", tmp_path / "o.mkv", track=3, force=True)
    assert probe(tmp_path / "o.mkv").frames == 25, "and what was there is still there"


# -------------------------------------------------------------------------------------------------------------- colour


def profile(columns: Sequence[tuple[float, float, float]], gamma: float = 2.2) -> bytes:
    """An ICC profile (version 2, a matrix and a curve) whose red, green and blue are these XYZ under D50."""

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    xyz = {name: b"XYZ \0\0\0\0" + s15(*column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)}
    parts = {"desc": text + b"\0" * (-len(text) % 4), "wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249), **xyz}
    parts |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)
    table, body, place = struct.pack(">I", len(parts)), b"", 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        table += name.encode() + struct.pack(">II", place + len(body), len(part))
        body += part
    head = bytearray(128)
    head[0:4] = struct.pack(">I", place + len(body))
    head[8:12], head[12:24], head[36:40] = b"\x02\x10\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = s15(0.9642, 1.0, 0.8249)
    return bytes(head) + table + body


SRGB = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp", "p.tiff"])
def test_profiles_are_brought_to_srgb(tmp_path: Path, name: str) -> None:
    picture = Image.new("RGB", (40, 30), (210, 60, 30))
    swapped = profile([SRGB[2], SRGB[1], SRGB[0]])
    picture.save(tmp_path / name, icc_profile=swapped, **({"quality": 95} if name != "p.tiff" else {}))
    assert np.abs(read_image(tmp_path / name)[15, 20].astype(int) - (30, 60, 210)).max() <= 9
    assert np.abs(next(read_frames(tmp_path / name))[15, 20].astype(int) - (30, 60, 210)).max() <= 9


def test_a_profile_counts_by_what_it_does_not_by_its_name(tmp_path: Path) -> None:
    swapped = profile([SRGB[2], SRGB[1], SRGB[0]]).replace(b"test\0", b"sRGB\0")
    Image.new("RGB", (8, 8), (210, 60, 30)).save(tmp_path / "p.png", icc_profile=swapped)
    assert np.abs(read_image(tmp_path / "p.png")[4, 4].astype(int) - (30, 60, 210)).max() <= 9


def test_profiles_with_transparency_and_broken_ones(tmp_path: Path) -> None:
    swapped = profile([SRGB[2], SRGB[1], SRGB[0]])
    picture = Image.new("RGBA", (8, 8), (210, 60, 30, 255))
    picture.putpixel((0, 0), (210, 60, 30, 0))
    picture.save(tmp_path / "a.png", icc_profile=swapped)
    seen = read_image(tmp_path / "a.png")
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert np.abs(seen[4, 4].astype(int) - (30, 60, 210)).max() <= 8
    Image.new("RGB", (8, 8), (210, 60, 30)).save(tmp_path / "b.png", icc_profile=b"no profile at all")
    assert read_image(tmp_path / "b.png")[4, 4].tolist() == [210, 60, 30]
    plain = Image.new("RGB", (8, 8), (210, 60, 31))
    from PIL import ImageCms

    plain.save(tmp_path / "s.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert read_image(tmp_path / "s.png")[4, 4].tolist() == [210, 60, 31], "sRGB stays to the bit"


@pytest.mark.parametrize(("curve", "white"), [("hlg", 0.75), ("pq", 0.5807)])
def test_hdr_curves_bring_white_to_white(curve: str, white: float) -> None:
    levels = np.array([0, 0.25 * white, white, 1.0])
    frame = np.repeat((levels * 65535).round().astype(np.uint16)[None, :, None], 3, axis=2)
    seen = colour.from_hdr(frame, curve)[0]
    assert np.ptp(seen.astype(int), axis=1).max() <= 2, "grey stays grey"
    grey = seen[:, 1].astype(int)
    assert grey[0] == 0
    assert (np.diff(grey) > 0).all()
    assert 230 <= grey[2] <= 248, "graphics white (203 cd/m2) is nearly white, with room for what is brighter"
    assert grey[3] >= 253


def test_hdr_video_is_mapped(tmp_path: Path) -> None:
    named = "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    ffmpeg("-f", "lavfi", "-i", "color=0xbfbfbf:size=64x48:rate=25:duration=0.2", "-pix_fmt", "yuv420p10le", "-vf",
           named, "-c:v", "libx265", tmp_path / "h.mp4")  # fmt: skip
    seen = next(read_frames(tmp_path / "h.mp4"))[20, 20].astype(int)
    assert 230 <= seen.min() <= seen.max() <= 248, "75 % of HLG is white, not light grey"


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a8.webm", "libvpx"), ("a.mov", "qtrle")])
def test_what_is_transparent_is_white(tmp_path: Path, name: str, codec: str) -> None:
    pixels = "argb" if codec == "qtrle" else "yuva420p"
    hidden = np.zeros((64, 64, 4), np.uint8)
    hidden[:, :, 1] = 200
    hidden[:, 32:, 3] = 255
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(hidden).save(folder / f"{number}.png")
    plain = [] if codec == "qtrle" else ["-auto-alt-ref", 0]
    ffmpeg("-framerate", 25, "-i", folder / "%d.png", "-c:v", codec, "-pix_fmt", pixels, *plain, tmp_path / name)
    frames = list(read_frames(tmp_path / name))
    assert len(frames) == 6
    for frame in (frames[0], frames[5]):
        assert frame[32, 8].min() > 245
        assert frame[32, 56, 0] < 60 < 150 < frame[32, 56, 1]


# ------------------------------------------------------------------------------------------------------------- content


def test_an_animated_avif_moves(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 64), (40 * n, 0, 0)) for n in range(6)]
    pictures[0].save(tmp_path / "a.avif", save_all=True, append_images=pictures[1:], duration=100)
    assert probe(tmp_path / "a.avif").frames == 6
    reds = [int(frame[32, 32, 0]) for frame in read_frames(tmp_path / "a.avif")]
    assert reds == sorted(reds)
    assert reds[5] - reds[0] > 150
    pictures[3].save(tmp_path / "s.avif")
    assert len(list(read_frames(tmp_path / "s.avif"))) == 1
    assert read_image(tmp_path / "a.avif").shape == (64, 64, 3)


def test_an_apng_with_a_picture_for_others(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), (40 * n, 0, 0)) for n in range(5)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=100, default_image=True)
    assert [int(frame[8, 8, 0]) for frame in read_frames(tmp_path / "a.png")] == [40, 80, 120, 160]
    assert probe(tmp_path / "a.png").frames == 4


def fragmented(path: Path) -> Path:
    return write_clip(path, list(np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)),
                      options={"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"})  # fmt: skip


def cut(path: Path, share: float = 0.66) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def holed(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = bytes(len(data) // 8)
    path.write_bytes(bytes(data))
    return path


def noisy(count: int = 30) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), np.uint8))


def damaged(folder: Path, kind: str) -> Path:
    if kind == "fragmented.mp4":
        return cut(fragmented(folder / kind))
    if kind == "hole.webm":
        return holed(write_clip(folder / kind, noisy(), codec="libvpx-vp9"))
    if kind in {"hole.ts", "hole.mpg", "hole.mp4"}:
        return holed(write_clip(folder / kind, noisy(), codec="mpeg4" if kind == "hole.mp4" else "mpeg2video"))
    if kind in {"hole.mkv", "hole.avi", "hole.wmv"}:
        return holed(write_clip(folder / kind, noisy(), codec="wmv2" if kind == "hole.wmv" else "libx264"))
    if kind in {"cut.gif", "cut.webp", "cut.png"}:
        pictures = [Image.fromarray(frame) for frame in noisy(12)]
        pictures[0].save(folder / kind, save_all=True, append_images=pictures[1:], duration=100)
        return cut(folder / kind)
    codec = {"cut.flv": "flv", "cut.ogv": "", "cut.webm": "libvpx-vp9", "cut.wmv": "wmv2"}.get(kind, "libx264")
    if not codec:
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=2", "-c:v", "libtheora", folder / kind)
        return cut(folder / kind)
    return cut(write_clip(folder / kind, noisy(), codec=codec, options={"movflags": "+faststart"}
                          if kind.endswith(("mp4", "mov")) else {}))  # fmt: skip


KINDS = ["fragmented.mp4", "hole.webm", "hole.mkv", "cut.gif", "cut.png", "cut.flv", "cut.ogv", "cut.webm",
         "cut.mkv", "cut.avi", "cut.mp4", "cut.mov", "hole.avi", "cut.wmv", "hole.wmv",
         "hole.ts", "hole.mpg", "hole.mp4"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_that_lost_frames_is_refused_or_used_with_a_word(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(FommError, match=r"incomplete|damaged"):
        list(read_timed(path))
    told: list[str] = []
    frames = list(read_timed(path, how=Reading(damage=told)))
    assert len(told) == 1, told
    assert 0 < len(frames) < 50
    assert str(path) in told[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_kinds_undamaged_are_fine(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    this = sys.modules[__name__]
    monkeypatch.setattr(this, "cut", lambda path: path)
    monkeypatch.setattr(this, "holed", lambda path: path)
    told: list[str] = []
    assert len(list(read_timed(damaged(tmp_path, kind), how=Reading(damage=told)))) in {12, 30, 50}
    assert told == []


def test_damage_told_by_the_decoder(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "d.mp4", noisy(), options={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in places[10:14]:
        data[place : place + size] = bytes(size)
    path.write_bytes(bytes(data))
    with pytest.raises(FommError, match="damaged"):
        list(read_timed(path))
    told: list[str] = []
    assert len(list(read_timed(path, how=Reading(damage=told)))) >= 10
    assert len(told) == 1


def test_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "m.ts", noisy(40), codec="mpeg2video")
    data = path.read_bytes()
    (tmp_path / "late.ts").write_bytes(data[len(data) // 4 // 188 * 188 :])
    assert 10 < len(list(read_timed(tmp_path / "late.ts"))) < 40


@pytest.mark.parametrize("name", ["trunc.png", "zero.png", "bytes.png", "still.png", "still.jpg", "a.webp"])
def test_damaged_pictures_as_clips_are_said(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(frame) for frame in noisy(4)]
    still = name.startswith("still")
    pictures[0].save(tmp_path / name, **({} if still else {"save_all": True, "append_images": pictures[1:]}))
    data = bytearray((tmp_path / name).read_bytes())
    if name == "zero.png":
        data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    elif name == "bytes.png":
        data[200:260] = b"\x55" * 60
    else:
        del data[len(data) // 2 :]
    (tmp_path / name).write_bytes(bytes(data))

    def look() -> None:
        probe(tmp_path / name)
        list(read_timed(tmp_path / name))

    with pytest.raises(FommError, match=name):
        look()


# --------------------------------------------------------------------------------------------------- names and openers


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in shades(4)]
    pictures[0].save(tmp_path / "w.webp", save_all=True, append_images=pictures[1:], duration=100)
    (tmp_path / "w.webp").rename(tmp_path / "w.gif")
    write_clip(tmp_path / "m.mp4", shades(4)).rename(tmp_path / "m.webp")
    pictures[0].save(tmp_path / "p.png")
    (tmp_path / "p.png").rename(tmp_path / "p.mp4")
    pictures[0].save(tmp_path / "g.gif", save_all=True, append_images=pictures[1:], duration=100)
    (tmp_path / "g.gif").rename(tmp_path / "g.png")
    for name, count in (("w.gif", 4), ("m.webp", 4), ("p.mp4", 1), ("g.png", 4)):
        assert probe(tmp_path / name).frames == count
        assert len(list(read_frames(tmp_path / name))) == count


def test_pictures_that_need_a_plugin(tmp_path: Path) -> None:
    heic = tmp_path / "h.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    (tmp_path / "j.jxl").write_bytes(b"\xff\x0a" + bytes(64))
    for path, word in ((heic, "HEIC"), (tmp_path / "j.jxl", "JPEG XL")):
        assert word in kinds.advice(path)
        assert "fomm-cli[heif]" in kinds.advice(path)
        with pytest.raises(FommError):
            read_image(path)


def test_heic_where_its_package_is_there(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 64), (200, 40, 30))
    pillow_heif.from_pillow(picture).save(str(tmp_path / "h.heic"))
    assert np.abs(read_image(tmp_path / "h.heic")[32, 32].astype(int) - (200, 40, 30)).max() < 8


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "f.png")
    for read in (read_image, probe):
        with pytest.raises(FommError, match="not a regular file"):
            read(tmp_path / "f.png")


def test_a_large_canvas_is_laid_over_white_in_strips() -> None:
    from fomm_cli.media.view import _over_white

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (600, 40, 4), dtype=np.uint8)
    wide = picture.astype(np.int64)
    expected = (wide[..., :3] * wide[..., 3:] + 255 * (255 - wide[..., 3:]) + 127) // 255
    assert np.array_equal(_over_white(picture), expected)


def test_avi_with_room_left_over_or_odd_chunks_is_whole(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", noisy())
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5000))
    assert len(list(read_timed(path))) == 30
    place = whole.index(b"movi") + 4
    length = int.from_bytes(whole[place + 4 : place + 8], "little")
    unfilled = b"JUNK" + (3).to_bytes(4, "little") + b"abc"  # without the byte that makes it even
    assert length
    path.write_bytes(whole[:place] + unfilled + whole[place:])
    assert check_whole(path, "avi") is None

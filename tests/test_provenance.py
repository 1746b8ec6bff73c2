"""What files say of how they were made: written into every format, read back, signed, and the same on any day."""

from __future__ import annotations

import datetime
import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.media.badge import CORNERS, badged
from fomm_cli.media.image import read_image, write_image
from fomm_cli.media.provenance import SOURCE_TYPE, Mark, read_mark
from fomm_cli.media.signing import Signer, check_signable, read_signed
from fomm_cli.media.video import VideoWriter, read_frames
from tests.clips import shades, write_clip

MARK = Mark({"synthetic": True, "software": "fomm 0", "weights": "sha256:" + "0123456789abcdef" * 4})
FORMATS = ["a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp", "a.apng", "frames"]


def written(path: Path, **more: Any) -> Path:
    with VideoWriter(path, Fraction(25), mark=MARK, force=True, **more) as writer:
        for frame in shades(5):
            writer.write(frame)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_it_and_plays_on(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    told = read_mark(path)
    assert told["record"] == MARK.record
    assert told["comment"].startswith("Synthetic: made with fomm")
    assert told["comment"].endswith("weights sha256 0123456789abcdef")
    assert len(list(read_frames(path))) == 5
    assert (told["source_type"] == SOURCE_TYPE) == (name in {"a.webp", "a.apng", "frames"})


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_work_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    first, second = (written(tmp_path / str(turn) / name) for turn in range(2))
    for path in [first] if first.is_file() else first.iterdir():
        again = second / path.name if first.is_dir() else second
        assert path.read_bytes() == again.read_bytes()


def test_other_programs_read_it(tmp_path: Path) -> None:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    for name in ("a.mp4", "a.webm"):
        said = subprocess.run(
            [ffmpeg, "-i", str(written(tmp_path / name)), "-f", "ffmetadata", "-"], capture_output=True, text=True
        ).stdout
        assert "synthetic" in said
        assert "Synthetic: made with fomm" in said
    copied = tmp_path / "copy.mp4"
    subprocess.run([ffmpeg, "-v", "error", "-i", str(tmp_path / "a.mp4"), "-c", "copy", str(copied)], check=True)
    assert read_mark(copied)["comment"].startswith("Synthetic")  # what is kept by a copy without a flag
    picture = Image.open(written(tmp_path / "frames") / "000000.png")
    assert "compositeWithTrainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]


def boxes(data: bytes, path: tuple[bytes, ...] = ()) -> dict[tuple[bytes, ...], bytes]:
    """The boxes of an MP4, as a strict reader of ISO 14496-12 finds them."""
    found, place = {}, 0
    while place < len(data):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        assert 8 <= length <= len(data) - place, name
        inside = data[place + 8 : place + length]
        found[(*path, name)] = inside
        if name in {b"moov", b"udta"}:
            found |= boxes(inside, (*path, name))
        place += length
    return found


def test_an_mp4_is_still_one_to_a_strict_reader(tmp_path: Path) -> None:
    found = boxes(written(tmp_path / "a.mp4").read_bytes())
    assert next(iter(found)) == (b"ftyp",)
    names = list(found)
    assert names.index((b"moov",)) < names.index((b"mdat",))  # the index stands in front
    meta = found[(b"moov", b"udta", b"meta")]
    assert b"mdta" in meta
    assert b"fomm" in meta


def test_what_others_write_is_no_mark_of_ours(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((20, 20, 3), np.uint8))
    plain = write_clip(tmp_path / "plain.mp4", shades(3))
    for path in (tmp_path / "a.png", plain):
        assert read_mark(path) == {"comment": None, "record": None, "source_type": None}
    chunks = Mark({}).png()
    chunks.add_itxt("fomm", "[" * 100_000)
    Image.new("RGB", (20, 20)).save(tmp_path / "deep.png", pnginfo=chunks)
    assert read_mark(tmp_path / "deep.png")["record"] in (None, {})


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate under an authority of its own, and its key."""
    pytest.importorskip("c2pa")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder = tmp_path_factory.mktemp("keys")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, who), x509.NameAttribute(NameOID.COMMON_NAME, who)])
        for who in ("Test Authority", "Test Studio")
    ]
    now = datetime.datetime.now(datetime.UTC)
    chain = []
    for top in (False, True):
        key = keys[0] if top else keys[1]
        usage = x509.KeyUsage(not top, False, False, False, False, top, top, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[0] if top else names[1])
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(top, None), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False)
        )
        if not top:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        chain.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "cert.pem").write_bytes(b"".join(chain))
    (folder / "key.pem").write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.gif", "a.webp", "frames"])
def test_signed_files_prove_what_they_say(tmp_path: Path, signer: tuple[Path, Path], name: str) -> None:
    path = written(tmp_path / name, signer=Signer(*signer))
    one = path / "000003.png" if path.is_dir() else path
    told = read_signed(one)
    assert told is not None
    assert told["state"] == "Valid"
    assert told["signer"] == "Test Studio"
    assert read_mark(path)["record"] == MARK.record
    assert len(list(read_frames(path))) == 5
    data = bytearray(one.read_bytes())
    place = len(data) * 2 // 3 if name != "frames" else len(data) - 40
    data[place] ^= 1
    one.write_bytes(data)
    changed = read_signed(one)
    assert changed is None or changed["state"] == "Invalid"


def test_what_cannot_sign_is_refused_with_a_reason(tmp_path: Path, signer: tuple[Path, Path]) -> None:
    from fomm_cli.errors import FommError

    with pytest.raises(FommError, match="webm files cannot be signed"):
        check_signable(Path("x.webm"))
    (tmp_path / "broken.pem").write_text("no key")
    with pytest.raises(FommError, match="no private key"):
        Signer(signer[0], tmp_path / "broken.pem")
    with pytest.raises(FommError, match="no certificate"):
        Signer(tmp_path / "broken.pem", signer[1])
    other = signer[1].with_name("other.pem")
    other.write_bytes(_fresh_key())
    with pytest.raises(FommError, match="not the key"):
        Signer(signer[0], other)
    with pytest.raises(FommError, match="could not be read"):
        Signer(tmp_path / "gone.pem", signer[1])
    assert read_signed(written(tmp_path / "a.mp4")) is None


def _fresh_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*forms)


def test_the_badge_is_seen_in_every_corner() -> None:
    grey = np.full((200, 300, 3), 120, np.uint8)
    for corner in CORNERS:
        changed = np.argwhere((badged(grey, corner) != grey).any(axis=2))
        height, width = np.ptp(changed, axis=0) + 1
        assert height == 12
        assert 10 < width < 30
        low = changed.mean(axis=0) < (100, 150)
        assert low.tolist() == [corner.startswith("top"), corner.endswith("left")]
        assert badged(grey, corner).max() > 220
    assert badged(np.zeros((16, 16, 3), np.uint8), "top-left").shape == (16, 16, 3)


def test_the_commands(
    tiny: Path, tmp_path: Path, signer: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "face.png", np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8))
    clip = write_clip(tmp_path / "talk.mp4", shades(3))
    line = ["animate", str(tmp_path / "face.png"), str(clip), "--weights", str(tiny), "--device", "cpu"]

    def told(*more: str, out: str = "o.mp4") -> dict[str, Any]:
        assert main([*line, "-o", str(tmp_path / out), "--force", *more]) == 0
        told.said = capsys.readouterr().err  # type: ignore[attr-defined]
        assert main(["provenance", str(tmp_path / out), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    usual = told()["mark"]["record"]
    assert usual["weights"].startswith("sha256:")
    assert usual["detector"].startswith("sha256:")
    assert not {"source", "driving", "settings"} & set(usual)
    full = told("--mark", "full")["mark"]["record"]
    assert full["source"].startswith("sha256:")
    assert full["settings"]["anchor"] == "auto"
    assert str(tmp_path) not in json.dumps(full)
    assert told("--mark", "none")["mark"]["record"] is None
    assert "Without a mark" in told.said  # type: ignore[attr-defined]
    signed = told("--sign", str(signer[0]), "--key", str(signer[1]), "--mark", "full", "--badge", "top-left")["signed"]
    assert signed["state"] == "Valid"
    titles = [each["title"] for each in signed["statement"]["ingredients"]]
    assert titles == ["face.png", "talk.mp4"]
    assert main(["provenance", str(tmp_path / "o.mp4")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A claim: anybody can write it" in said
    assert "Valid: by Test Studio, who is on no list of trusted ones" in said
    assert main(["provenance", str(tmp_path / "face.png")]) == 0
    assert capsys.readouterr().out.split("\n")[0] == "Metadata   Nothing is said."
    for wrong in (["--sign", str(signer[0])], ["--timestamp", "http://x"]):
        assert main([*line, "-o", str(tmp_path / "w.mp4"), *wrong]) == 2
    assert main([*line, "-o", str(tmp_path / "w.webm"), "--sign", str(signer[0]), "--key", str(signer[1])]) == 1
    capsys.readouterr()
    assert main([*line, "-o", str(tmp_path / "b"), "--badge", "bottom-right"]) == 0
    assert main([*line, "-o", str(tmp_path / "c")]) == 0
    frames = [read_image(tmp_path / name / "000001.png") for name in "bc"]
    assert (frames[0] != frames[1]).any(axis=2).sum() > 20

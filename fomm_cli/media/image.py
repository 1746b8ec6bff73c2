"""Pictures: whatever Pillow opens comes in as uint8 RGB (H, W, 3), upright and over white."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fomm_cli.boxes import Box
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media import kinds
from fomm_cli.media.colour import to_srgb

Frame = NDArray[np.uint8]
"""A picture, (H, W, 3), RGB, 0 to 255."""

MAX_PIXELS = 128_000_000
"""More than any sensible photograph; a file that unpacks to more is refused before it is unpacked."""
_STRIP = 2**20  # pixels


def open_image(path: str | Path) -> Image.Image:
    """The file opened but not decoded; the caller closes it. Too large a picture is refused here."""
    path = Path(path)
    kinds.check_file(path, "a picture")
    kinds.register(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
    except FileNotFoundError as error:
        raise FommError(f"{path} does not exist.", "Check the path.") from error
    except Image.DecompressionBombError as error:
        raise FommError(f"{path} is far too large a picture.", "Scale it down first.") from error
    except UnidentifiedImageError as error:
        disk.check_payload(path, "a picture")
        raise FommError(f"{path} is not a picture in a known format.", kinds.advice(path)) from error
    except OSError as error:
        if error.errno is None:  # raised by Pillow itself, not by the system
            raise FommError(f"{path} is a damaged picture: {error}.", "Fetch or export it again.") from error
        raise disk.explain_os_error(error, path, "read") from error
    except (ValueError, SyntaxError, OverflowError, EOFError) as error:  # what Pillow's parsers raise on broken headers
        raise FommError(f"{path} is a damaged picture: {error}.", "Save it again from a picture editor.") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise FommError(
            f"{path} is {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million.",
            "Scale it down first; the network sees a small square anyway.",
        )
    return image


def read_image(path: str | Path) -> Frame:
    """The picture as uint8 RGB (H, W, 3): turned as EXIF says, alpha over white, the first frame of an animation.

    16-bit grey keeps its upper byte (value / 257); other deep modes, whose range no file states, are stretched.
    """
    with open_image(path) as image:
        return to_rgb(image, path)


def to_rgb(image: Image.Image, path: str | Path = "the picture") -> Frame:
    """The current frame of an opened picture as uint8 RGB (H, W, 3)."""
    try:
        image.load()
        upright = to_srgb(turned(image))
    except Exception as error:  # Pillow's decoders raise many types on damaged data, and none of them is our bug
        raise FommError(f"{path} is a damaged picture: {error}.", "Save it again from a picture editor.") from error
    if upright.mode.startswith("I;16"):
        grey = np.asarray(upright.convert("I"))
        return _grey((grey + 128) // 257)
    if upright.mode in {"I", "F"}:
        deep = image.format == "PNG"  # a grey PNG in mode I is 16-bit, however dark
        return _grey(np.asarray(upright) / 257 if deep else _stretch(np.asarray(upright)))
    if upright.has_transparency_data:
        picture = upright.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        upright = Image.alpha_composite(white, picture)
    return _pixels(upright if upright.mode == "RGB" else upright.convert("RGB"))


def turned(image: Image.Image) -> Image.Image:
    """Upright, as EXIF says; the very same picture where it stands so already, for large ones would be copied."""
    return image if image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else ImageOps.exif_transpose(image)


def _pixels(image: Image.Image) -> Frame:
    """The same as an array, by strips: Pillow would hold twice its bytes beside it."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


def _stretch(values: NDArray[Any]) -> NDArray[Any]:
    """32-bit grey to 0..255: 16-bit data (the usual content of mode I) by 257, [0, 1] floats by 255, else by range."""
    values = np.nan_to_num(values.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and np.any(values % 1):
        return values * 255
    if low >= 0 and high <= 255:
        return values
    if low >= 0 and high <= 65535:
        return values / 257
    return (values - low) / max(high - low, 1e-12) * 255


def _grey(values: NDArray[Any]) -> Frame:
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def write_image(path: str | Path, array: Frame, force: bool = False) -> None:
    """Write uint8 RGB (H, W, 3) atomically; the suffix names the format."""
    path = Path(path)
    Image.init()
    if path.suffix.lower() not in Image.EXTENSION:
        raise FommError(f"{path} has no suffix of a picture format.", "Use .png or .jpg.")
    with disk.atomic_path(path, force) as temporary:
        try:
            Image.fromarray(np.ascontiguousarray(array)).save(temporary)
        except (ValueError, KeyError) as error:
            raise FommError(f"{path} could not be written: {error}.", "Use .png or .jpg.") from error


def resize(array: Frame, size: tuple[int, int]) -> Frame:
    """Resampled to `size` = (H, W), anti-aliased when it shrinks; the very same array when it fits already."""
    height, width = size
    if array.shape[:2] == (height, width):
        return array
    picture = Image.fromarray(np.ascontiguousarray(array))
    # The kernel grows with the factor, so that nothing aliases; an integer reduction down to twice the final size comes
    # first, which the eye cannot tell and which halves the time on large frames.
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.array(small, dtype=np.uint8)


def crop(array: Frame, box: Box) -> Frame:
    """The part inside `box`; where it reaches outside, the picture's edge pixels go on."""
    height, width = array.shape[:2]
    left, top, right, bottom = box.left, box.top, box.left + box.width, box.top + box.height
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return array[top:bottom, left:right]
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    columns = np.clip(np.arange(left, right), 0, width - 1)
    return array[rows[:, None], columns[None, :]]


def rgb(image: Image.Image, where: str | Path) -> np.ndarray:
    """An opened picture as uint8 (H, W, 3). An opaque alpha channel, as most strips have, is dropped, not blended."""
    if image.mode == "RGBA":
        with contextlib.suppress(*BROKEN_IMAGE):  # told by the conversion below
            if "icc_profile" not in image.info and image.getchannel("A").getextrema()[0] == 255:
                return np.asarray(image.convert("RGB"))
    return to_rgb(image, where)


# What Pillow raises for bytes it does not like; broken PNG chunks come as SyntaxError.
BROKEN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def fit(frame: Frame, size: tuple[int, int], box: Box | None = None) -> Frame:
    """A picture in a network's size: the one way in, for what it is trained on and for what it animates.

    frame    uint8 (H, W, 3)
    size     (H, W) wanted
    box      the part to take; None = the largest centred window of the wanted shape, to fractions of a pixel
    returns  uint8 (*size, 3), bicubic, anti-aliased where it shrinks; the frame itself where it fits already
    """
    if box is not None:
        frame = crop(*_shrunk(frame, box, size))
    height, width = frame.shape[:2]
    if (height, width) == size:
        return frame
    scale = min(height / size[0], width / size[1])
    tall, wide = min(size[0] * scale, height), min(size[1] * scale, width)  # rounding must not reach beyond the picture
    left, top = (width - wide) / 2, (height - tall) / 2
    window = (left, top, left + wide, top + tall)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(picture.resize(size[::-1], Image.Resampling.BICUBIC, box=window))


def _shrunk(frame: Frame, box: Box, size: tuple[int, int]) -> tuple[Frame, Box]:
    """Picture and box scaled down together where the box reaches so far that its edge would fill the memory."""
    if box.width * box.height <= MAX_PIXELS // 4:
        return frame, box
    height, width = frame.shape[:2]
    if box.left >= 0 and box.top >= 0 and box.left + box.width <= width and box.top + box.height <= height:
        return frame, box  # nothing is added: a view of the picture
    factor = 4 * max(size) / max(box.width, box.height)
    small = resize(frame, (max(1, round(height * factor)), max(1, round(width * factor))))
    return small, Box(*(round(value * factor) for value in box))

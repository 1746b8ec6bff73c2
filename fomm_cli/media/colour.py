"""Colours as a screen shows them: profiles of pictures and the curves of HDR video, brought to sRGB."""

from __future__ import annotations

import contextlib
import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

HDR = {16: "pq", 18: "hlg"}
"""frame.color_trc -> the transfer curve, of those that need mapping (ITU-R BT.2100)."""

_WHITE = 203.0
"""Candela per square metre of white in the graphics of an HDR picture (ITU-R BT.2408): what sRGB's white becomes."""

_KNEE = 0.75
"""Share of white up to which light stays as it is; all that is brighter is pressed into the rest."""

# BT.2020 to BT.709 primaries, linear light.
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def to_srgb(image: Image.Image) -> Image.Image:
    """A picture with an embedded colour profile brought to sRGB; one without, or with a broken one, as it is."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):  # a broken profile is no reason to refuse
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "CMYK" and image.mode == "CMYK":
            return _converted(image, source)
        if space != "RGB" or image.mode not in {"RGB", "RGBA", "RGBX", "P", "PA"} or _changes_nothing(source):
            return image
        if not image.has_transparency_data:
            return _converted(image.convert("RGB"), source)
        clear = image.convert("RGBA")
        converted = _converted(clear.convert("RGB"), source)
        converted.putalpha(clear.getchannel("A"))
        return converted
    return image


def _changes_nothing(source: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile is sRGB by what it does, to a rounding; what it calls itself may be wrong."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    made = np.asarray(_converted(Image.fromarray(colours), source))
    return bool(np.abs(made.astype(int) - colours).max() <= 1)


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
    assert converted is not None  # it is only where the picture is changed in place
    return converted


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def from_hdr(picture: NDArray[np.uint16], curve: str) -> NDArray[np.uint8]:
    """An HDR frame (H, W, 3) of 16-bit BT.2020 values as sRGB: white to white, highlights rolled off, hues kept."""
    light = _linear(curve)[picture]
    if curve == "hlg":  # the system gamma of a 1000 cd/m2 screen (BT.2100), which acts on luminance
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light *= (np.maximum(luminance, 1e-6) ** 0.2)[..., None] * np.float32(1000 / _WHITE)
    light = np.maximum(light @ _TO_709.T, 0)
    peak = light.max(axis=-1, keepdims=True)
    rolled = _KNEE + (1 - _KNEE) * (1 - np.exp(-(peak - _KNEE) / (1 - _KNEE)))
    light *= np.where(peak > _KNEE, rolled / np.maximum(peak, 1e-6), 1)
    return _encoded()[np.rint(np.clip(light, 0, 1) * 4095).astype(np.uint16)]


@functools.cache
def _linear(curve: str) -> NDArray[np.float32]:
    """The light of each 16-bit value: in units of white for PQ, of the scene's range [0, 1] for HLG."""
    value = np.arange(65536) / 65535
    if curve == "pq":
        root = value ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (light * 10_000 / _WHITE).astype(np.float32)
    low = value**2 / 3
    high = (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(value <= 0.5, low, high).astype(np.float32)


@functools.cache
def _encoded() -> NDArray[np.uint8]:
    """sRGB's curve, from 12-bit linear light; fine enough that no 8-bit step above black is passed over."""
    light = np.arange(4096) / 4095
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255).astype(np.uint8)

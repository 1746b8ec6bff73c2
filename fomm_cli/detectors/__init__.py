"""Finding what a clip should show: detectors behind one small protocol, tracking, one fixed box per clip.

Pictures come in as uint8 RGB (H, W, 3), boxes go out in pixels.
"""

"""Motion models: a keypoint detector, the candidate flows its keypoints stand for, and the evidence for each.

A motion model is one module of this folder with the three names of `first_order.py`, and a preset.
"""

from fomm_cli.model.motion import first_order

MOTIONS = {"first_order": first_order}

"""LivePortrait (Guo et al., arXiv 2407.03168): a head's pose as numbers, keypoints in space, a warped volume."""

"""A source, encoded once, in the pose of frame after frame; numpy arrays throughout, whatever engine computes."""

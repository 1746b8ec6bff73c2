"""Pictures and moving pictures: probe, read, write; frames are uint8 RGB (H, W, 3), one at a time."""

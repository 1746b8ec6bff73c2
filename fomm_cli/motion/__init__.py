"""What passes between detect and render, as a value: the poses of a clip and their times; numpy alone."""

"""The arrays of one matrix: what their cells hold, how they age, and how they are read."""

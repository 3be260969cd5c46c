"""Files as stores and indexes keep them: arrays, lines, checksums, whole folders."""

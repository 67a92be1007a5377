"""One step, and many: problems, seeds, the loop, its programs and its memory."""

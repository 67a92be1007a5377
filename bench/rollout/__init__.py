"""One step, and many: seeds, problems, the step, the loop, compiled programs, memory, the guard."""

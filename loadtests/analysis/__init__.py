"""Reads the records of runs: what counts, how far figures can be trusted, and how two runs compare."""

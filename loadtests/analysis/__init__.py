"""Reads the records of runs: which windows are valid, how far figures can be trusted, and how two runs compare."""

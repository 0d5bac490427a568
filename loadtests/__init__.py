"""What measures: the engine's counters now, load and reports to come."""

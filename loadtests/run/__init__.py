"""What happens during a run, on the host: a plan becomes windows, and each window becomes a record."""

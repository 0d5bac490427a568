"""What happens during a run, on the host: variables become a plan, the plan becomes windows, each window a record."""

"""What the tests share: stacks of their own, clients, the engine, and runs of the bench with known figures."""

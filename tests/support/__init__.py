"""What the tests share: stacks, clients, the engine, the choice and the groups of tests, and runs of the bench."""

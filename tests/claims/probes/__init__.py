"""Applications that only a claim's test needs, put into a server's container one at a time."""

"""The applications, their contract, and the servers that run them."""

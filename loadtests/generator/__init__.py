"""What runs in the load generator's container."""

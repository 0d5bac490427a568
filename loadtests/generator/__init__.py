"""What runs in the generator's container: Locust and the tools that send the load, and the agent that takes orders."""

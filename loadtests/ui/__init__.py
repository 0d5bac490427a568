"""Locust's web page beside the running stack, for `make bench-ui`."""

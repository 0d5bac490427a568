"""Locust's web page beside the running stack."""

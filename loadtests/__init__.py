"""The bench: measures what a request costs each server on each route, judges the figures, and reports them."""

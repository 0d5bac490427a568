"""What the stack promises, each promise a test, on real containers."""

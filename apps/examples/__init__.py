"""The documents' worked examples, written anew; each file runs by itself (README.md)."""

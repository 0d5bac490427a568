"""What serves this repository only. `make lock` (lock.py, venv.py) serves a copy of it too."""

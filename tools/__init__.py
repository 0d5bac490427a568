"""What serves this repository only: its documentation, lint, virtual environment, locks and claims."""

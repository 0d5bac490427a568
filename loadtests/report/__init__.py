"""Writes a run's report: tables, plots and sentences, as a page and as Markdown."""

"""Turns a run into tables, plots, sentences and pages."""

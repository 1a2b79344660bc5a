"""Outputs of run results: files, services and metrics; one module for each."""

"""Meters: one module for each kind, their table (`meters`) and the detection (`discover`)."""

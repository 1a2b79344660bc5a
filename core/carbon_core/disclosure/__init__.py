"""Disclosure of a project's energy and emissions in the formats of others."""

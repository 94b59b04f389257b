"""Rows of prompt lists and tables, parsed to requests."""

"""Databases that record calls durably."""

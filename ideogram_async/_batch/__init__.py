"""Batches: jobs, their journal, and the results in a folder."""

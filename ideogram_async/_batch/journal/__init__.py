"""Journal of a batch: an SQLite database that records every job and its outcome."""

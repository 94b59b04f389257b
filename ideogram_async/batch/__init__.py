"""Bulk runs that survive anything: a journal before the money, images whole on disk, nothing paid twice."""

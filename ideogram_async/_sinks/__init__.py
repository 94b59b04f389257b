"""Destinations of image bytes: a folder, an object store, or a class of the caller's own."""

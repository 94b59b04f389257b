"""Concurrency limit of the account: images in progress, a queue of waiting calls, back-off after a 429."""

"""Pipeline from a request to its answer, over the sessions of each event loop."""

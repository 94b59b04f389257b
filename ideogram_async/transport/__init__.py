"""How a call gets its answer: `retrying(limited(traced(http)))`, every layer of one shape."""

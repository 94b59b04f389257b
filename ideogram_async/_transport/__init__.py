"""Transport layers of a call: `retrying(limited(http))`, each of them `Call -> Reply`."""

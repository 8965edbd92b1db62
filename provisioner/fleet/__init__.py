"""Many hosts at once: a pool of workers, one outcome a host, events on the way."""

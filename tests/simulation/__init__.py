"""Whole proxies in a simulated world: virtual time, a simulated Redis and backend, faults by seed."""

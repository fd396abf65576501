"""Real proxies, a real Redis, real sockets and SIGKILL: `python -m chaos`, or `make chaos`."""

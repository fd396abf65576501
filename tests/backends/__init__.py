"""Backends and clients that others wrote, before and behind the proxy."""

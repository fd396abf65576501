"""Precondition proxy: conditional requests (RFC 9110 section 13) for backends that have none."""

__version__ = "0.1.0"

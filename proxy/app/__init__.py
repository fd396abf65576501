"""Builds everything, and runs it. Nobody but `__main__` imports it."""

from proxy.app.house import App
from proxy.app.running import serve

__all__ = ["App", "serve"]

"""The admin port: metrics, health, and pages for people. It reads, and offers nothing that changes state."""

from proxy.admin.server import Admin

__all__ = ["Admin"]

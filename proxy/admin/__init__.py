"""The admin port: metrics, health, and pages for people. It reads, and offers nothing that changes state."""

from proxy.admin.conflicts import Conflicts, Told
from proxy.admin.findings import Finding
from proxy.admin.page import Page, RouteText
from proxy.admin.server import Admin

__all__ = ["Admin", "Conflicts", "Finding", "Page", "RouteText", "Told"]

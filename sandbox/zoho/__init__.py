"""The simulated Zoho Books: one organisation with real double-entry books behind the v3 API. `zoho_app` mounts it."""

from sandbox.zoho.app import zoho_app

__all__ = ["zoho_app"]

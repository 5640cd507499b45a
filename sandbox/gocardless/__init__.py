"""A stateful GoCardless: `gocardless_app(world)` gives its application. Behaviour from the API's documentation, not
from any client.
"""

from sandbox.gocardless.app import gocardless_app

__all__ = ["gocardless_app"]

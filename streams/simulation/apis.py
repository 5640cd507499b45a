"""The two simulators of a world, without HTTP: their objects, for whoever fills them, acts in them, or counts them."""

from sandbox.gocardless.app import GoCardless
from sandbox.gocardless.merchant import Merchant
from sandbox.world import World
from sandbox.zoho.simulator import Simulator


def gocardless_of(world: World) -> GoCardless:
    """The simulator of GoCardless. Its application has to be made first."""
    api = world.apis["gocardless"]
    assert isinstance(api, GoCardless), "who puts itself there under this name"
    return api


def merchant_of(world: World) -> Merchant:
    """The merchant's account at GoCardless."""
    return gocardless_of(world).merchant


def zoho_of(world: World) -> Simulator:
    """The simulator of Zoho Books. Its application has to be made first."""
    api = world.apis["zoho"]
    assert isinstance(api, Simulator), "who puts itself there under this name"
    return api

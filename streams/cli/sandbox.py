"""`sandbox`: both APIs simulated, for a program that is run beside them."""

import asyncio
import signal
from datetime import datetime
from typing import Final

import click

from sandbox.server import SandboxConfig, running_sandbox
from sandbox.world import DEFAULT_START, iso_utc
from streams.cli.command import Reply, Session, instant_of, text
from streams.cli.command_group import CommandGroup
from streams.cli.sandbox_address import noted
from streams.cli.sandbox_flow import flow_options, speed_given

_HERE: Final = "streams.cli"

#: The commands below it: name → (module, attribute, short help).
_BELOW: Final = {
    "tick": (f"{_HERE}.sandbox_tick", "tick", "Move the time of a running sandbox."),
    "invoice": (f"{_HERE}.sandbox_invoice", "invoice", "Write an invoice in the books, and send it."),
    "payer": (f"{_HERE}.sandbox_payer", "payer", "Make a customer in the books who pays by GoCardless."),
}


@click.command(cls=CommandGroup, lazy=_BELOW)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where they listen; 0.0.0.0 in a container.")
@click.option(
    "--gocardless-port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0: any free port."
)
@click.option("--zoho-port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0: any free port.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same world.")
@click.option("--start", callback=instant_of, help=f"Simulated time begins here; {iso_utc(DEFAULT_START)} unless told.")
@flow_options
def sandbox(
    session: Session,
    host: str,
    gocardless_port: int,
    zoho_port: int,
    seed: int,
    start: datetime | None,
    speed: float | None,
    day_s: float | None,
) -> Reply:
    """Run the simulators of GoCardless and Zoho Books until interrupted. Their addresses are printed when they are
    ready.
    """
    config = SandboxConfig(
        seed=seed,
        start=start or DEFAULT_START,
        host=host,
        gocardless_port=gocardless_port,
        zoho_port=zoho_port,
        speed=speed_given(speed, day_s),
    )
    session.run(_serve(session, config))
    return Reply({"state": "stopped"}, text("Stopped."))


async def _serve(session: Session, config: SandboxConfig) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with running_sandbox(config) as running:
        data = {"state": "running", "gocardless": running.gocardless_url, "zoho": running.zoho_url}
        with noted(running.gocardless_url, running.zoho_url):
            session.say(
                data, f"GoCardless at {running.gocardless_url}, Zoho Books at {running.zoho_url}. Ctrl-C stops it."
            )
            await stop.wait()

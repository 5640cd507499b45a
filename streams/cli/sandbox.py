"""`sandbox`: both APIs simulated, for a program that is run beside them."""

import asyncio
import signal
from datetime import datetime

import click

from domain.times import TimeError, parse
from sandbox.server import SandboxConfig, running_sandbox
from sandbox.world import DEFAULT_START, iso_utc
from streams.cli.command import Reply, Session, text
from streams.cli.command_group import CommandGroup
from streams.cli.sandbox_address import noted
from streams.cli.sandbox_commands import BELOW
from streams.cli.sandbox_flow import flow_options, speed_given


def _instant(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime:
    try:
        return DEFAULT_START if value is None else parse(value)
    except TimeError as error:
        raise click.BadParameter(str(error)) from None


@click.command(cls=CommandGroup, lazy=BELOW)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where they listen; 0.0.0.0 in a container.")
@click.option(
    "--gocardless-port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0: any free port."
)
@click.option("--zoho-port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0: any free port.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same world.")
@click.option("--start", callback=_instant, help=f"Simulated time begins here; {iso_utc(DEFAULT_START)} unless told.")
@flow_options
def sandbox(
    session: Session,
    host: str,
    gocardless_port: int,
    zoho_port: int,
    seed: int,
    start: datetime,
    speed: float | None,
    day_s: float | None,
) -> Reply:
    """Run the simulators of GoCardless and Zoho Books until interrupted. Their addresses are printed when they are
    ready.
    """
    config = SandboxConfig(
        seed=seed,
        start=start,
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

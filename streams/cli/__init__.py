"""The command line: `zoho-gocardless`. Each command is a file beside this one, loaded when it is asked for."""

from typing import Final

import click

from streams.cli.command import CliGroup

_HERE: Final = "streams.cli"

_COMMANDS: Final = {
    "demo": (f"{_HERE}.demo", "demo", "Live through a company's month with both APIs simulated, and show the books."),
    "simulate": (f"{_HERE}.simulate", "simulate_", "Live through months with all that can go wrong, from a seed."),
    "sandbox": (f"{_HERE}.sandbox", "sandbox", "Run the simulators of GoCardless and Zoho Books."),
    "keys": (f"{_HERE}.keys", "keys", "Make a key for the credentials, or seal them anew."),
    "connect": (f"{_HERE}.connect", "connect", "Enter the credentials of a connection."),
    "topics": (f"{_HERE}.topics", "topics", "The topics on a Kafka cluster: compare, make, check."),
    "check": (f"{_HERE}.check", "check", "Check a connection before anything is collected; approve it."),
    "run": (f"{_HERE}.run", "run", "Run until asked to stop."),
    "status": (f"{_HERE}.status", "status", "How every connection stands, and what waits for a person."),
    "why": (f"{_HERE}.why", "why", "Why an invoice, payment, payout or contact is where it is."),
    "events": (f"{_HERE}.events", "events", "Look into the log."),
    "decide": (f"{_HERE}.decide", "decide", "Decide what waits for a person."),
    "parked": (f"{_HERE}.parked", "parked", "What could not be processed; try it again."),
    "rebuild": (f"{_HERE}.rebuild", "rebuild", "Make the store anew from the log, or check that it could be."),
    "store": (f"{_HERE}.store", "store", "Bring the database of the projections to this version's schema."),
    "backup": (f"{_HERE}.backup", "backup", "Copy log and store while they are in use."),
    "restore": (f"{_HERE}.backup", "restore", "Make log and store from a backup."),
    "move": (f"{_HERE}.move", "move", "Move an embedded installation to Kafka and PostgreSQL."),
}


@click.group(
    cls=CliGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="zoho-gocardless", prog_name="zoho-gocardless")
def main() -> None:
    """Collects Zoho Books invoices by GoCardless bank debit and closes the books, from an event log that proves it."""

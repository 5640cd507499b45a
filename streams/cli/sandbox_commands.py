"""The commands below `sandbox`: name → (module, attribute, short help)."""

from typing import Final

_HERE: Final = "streams.cli"

BELOW: Final = {
    "tick": (f"{_HERE}.sandbox_tick", "tick", "Move the time of a running sandbox."),
    "invoice": (f"{_HERE}.sandbox_invoice", "invoice", "Write an invoice in the books, and send it."),
    "payer": (f"{_HERE}.sandbox_payer", "payer", "Make a customer in the books who pays by GoCardless."),
}

"""The demo's screen: a month in one look, for a bookkeeper."""

from rich.console import Console
from rich.table import Table

from domain.money import format_minor
from domain.onboarding import Checked
from streams.demo.demo import Demo
from streams.demo.month import Month


def _amount(amount_minor: int, currency: str) -> str:
    whole, _, rest = format_minor(amount_minor, currency).partition(".")
    grouped = f"{int(whole):,}" if whole != "-0" else "-0"
    return f"{grouped}.{rest}" if rest else grouped


def planted(plan: Month) -> str:
    """What goes wrong in the month, in a line."""
    failing = plan.fail_before + plan.fail_after
    usual = "duplicate, reordered, missing webhook · 500 after commit on each API · " if plan.faults else ""
    return f"{usual}{failing} failing debits"


def show_gate(console: Console, checked: Checked) -> None:
    """What the operator accepted before anything was collected."""
    for one in checked.event.findings:
        mark = {"ok": "✓", "decide": "•", "stop": "✗"}[one.level]
        console.print(f"  {mark} {one.text}")


def show(console: Console, plan: Month, demo: Demo) -> None:
    """The whole screen."""
    found = demo.result
    console.print()
    console.print(f"Sandbox   GoCardless {demo.gocardless}   Zoho Books {demo.zoho}   seed {plan.seed}")
    console.print(f"Program   gateway · translate · core · relay · executors   log {demo.folder / 'log.db'}")
    console.print(f"Planted   {planted(plan)}")
    console.print("Gate      opened by the operator after the first-run check:")
    show_gate(console, demo.checked)
    console.print()
    console.print(f"{plan.days} days, then drained   {found.seconds:.0f} s   events {found.events:,}")
    console.print(
        f"GoCardless calls {found.gocardless_calls:,}   Zoho calls {found.zoho_calls:,} "
        f"({found.zoho_calls_marginal:.2f} a paid invoice + 3 a payout + {found.polls_a_day:.0f} polls a day)"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "Invoices", "Paid", "Open", "Collected", "Fees", "VAT", "Paid to bank", "Clearing"):
        table.add_column(name, justify="left" if not name else "right")
    for line in found.lines:
        amounts = (line.collected_minor, line.fees_minor, line.vat_minor, line.bank_minor, line.clearing_minor)
        counts = (line.invoices, line.paid, line.invoices - line.paid)
        table.add_row(
            line.currency, *(str(number) for number in counts), *(_amount(one, line.currency) for one in amounts)
        )
    console.print(table)
    if found.still_open:
        console.print("Still open")
        for text in found.still_open:
            console.print(f"  {text}")
    counted = found.counted
    console.print("Counted inside the simulators")
    if found.wrong:
        for text in found.wrong:
            console.print(f"  ✗ {text}")
    else:
        console.print(
            f"  ✓ {counted.paid_invoices} paid invoices = {counted.debits} debits = {counted.zoho_payments} Zoho "
            f"payments, none twice"
        )
        console.print(
            f"  ✓ {counted.payouts} payouts = {counted.transfers} transfers; every fee booked; ledger balanced"
        )
    config = demo.folder / "settings.toml"
    number = demo.example_invoice
    console.print(
        f"Next   zoho-gocardless why invoice {number} --config {config}      zoho-gocardless events --from 0 --config "
        f"{config}"
    )

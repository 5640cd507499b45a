"""The catalogue of what a person must look at: one code each, what it says, and what to do.

`docs/discrepancies.md` is written from this table; a test holds the two together. No personal data: resources are named
by id or document number.
"""

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One code: its text and remedy, with {facts} filled in by the rule that opens it."""

    text: str
    remedy: str


CATALOGUE: Final[dict[str, Kind]] = {
    "account_missing": Kind(
        "No Zoho account is mapped for {what}; {number} waits.",
        "Map the account in the policy, then close this discrepancy: the rule looks again.",
    ),
    "already_booked": Kind(
        "Zoho already held a payment with our key for {payment}; nothing was written a second time.",
        "Compare that payment in Zoho with the one at GoCardless, then close this.",
    ),
    "amount_mismatch": Kind(
        "{api} answered {got} where {wanted} was sent for {number}; collection of it stopped.",
        "Compare the document on both sides. Nothing more is sent for it until it is released.",
    ),
    "collected_elsewhere": Kind(
        "{number} has another payment under way in Zoho; no debit is made.",
        "Wait for that payment, or cancel it in Zoho.",
    ),
    "command_parked": Kind(
        "{command} for {number} could not be carried out: {reason}.",
        "Remove the cause, then replay it: `zoho-gocardless parked replay {id}`.",
    ),
    "contact_ambiguous": Kind(
        "Contacts {contacts} and payers {payers} at GoCardless have the same {how}: who {name} is cannot be told, and "
        "nothing is collected "
        "from it by that.",
        "Approve the right payer: `zoho-gocardless decide match {name} --payer ID`. Or correct the {how} on one side.",
    ),
    "day_over_limit": Kind(
        "Debits in {currency_code} on {day} reached the day's ceiling ({limit}); further ones are held.",
        "Look whether that many are right. Then let the day pass: `zoho-gocardless decide day {day} --currency "
        "{currency_code}`, or raise "
        "rules.max_day_count and rules.max_day and approve the policy.",
    ),
    "debit_failed": Kind(
        "The debit for {number} failed: {reason}.",
        "Retry it (`zoho-gocardless decide invoice {number} --retry`) or contact the customer.",
    ),
    "debit_over_limit": Kind(
        "{number} is above the largest debit allowed without a person's approval.",
        "Approve it: `zoho-gocardless decide invoice {number} --retry`. Or raise rules.max_debit and approve the "
        "policy: then it is "
        "looked at again.",
    ),
    "debit_refused": Kind(
        "GoCardless refused the debit for {number}: {reason}.",
        "Correct the cause, then retry it: `zoho-gocardless decide invoice {number} --retry`.",
    ),
    "debit_reversed": Kind(
        "The payment for {number} was taken back after it had been confirmed: {reason}. The invoice is open again and "
        "on hold.",
        "Speak with the customer, then release it: `zoho-gocardless decide invoice {number} --retry`.",
    ),
    "delivery_parked": Kind(
        "A delivery could not be read at {where}: {reason}. It is kept whole.",
        "Look at it with `zoho-gocardless events`, then `zoho-gocardless parked replay {id}` after an upgrade.",
    ),
    "due_before_start": Kind(
        "{number} fell due on {day}, before {start}, the day from which collection was accepted; it is held.",
        "Collect it: `zoho-gocardless decide invoice {number} --retry`. Or leave it: `zoho-gocardless decide invoice "
        "{number} --ignore`.",
    ),
    "duplicate_found": Kind(
        "More than one record answers to {command}; {got} was taken.",
        "Compare them on the API's side, and remove what is too many.",
    ),
    "excess": Kind(
        "{payment} collected more than {number} was still owing; the rest is the customer's credit in Zoho.",
        "Apply the credit to another invoice, or refund it.",
    ),
    "facts_left_out": Kind(
        "GoCardless has told more than {count} facts of {payment}; further ones are kept in the log and change "
        "nothing.",
        "Compare the payment with GoCardless's dashboard, and report this.",
    ),
    "fee_refund": Kind(
        "Payout {payout} brought back more fees than it charged.",
        "Book the fee refund in Zoho by hand; the ledger here has it.",
    ),
    "foreign_items": Kind(
        "Payout {payout} holds {count} items that are not ours; their sum went to suspense.",
        "Book each of them from suspense to where it belongs.",
    ),
    "gate_refused": Kind(
        "The connection was not opened: {reason}.",
        "Run `zoho-gocardless check`, repair what it names, and approve its decisions.",
    ),
    "link_conflict": Kind(
        "{name} is linked to one payer in Zoho and claimed by another at GoCardless; nothing was linked.",
        "Approve one: `zoho-gocardless decide match {name} --payer ID`.",
    ),
    "match_proposed": Kind(
        "{name} has the same {how} as payer {payer}.",
        "Approve it: `zoho-gocardless decide match {name} --payer {payer}`.",
    ),
    "needs_mandate": Kind(
        "{name} has open invoices and no mandate.",
        "Invite the customer: `zoho-gocardless decide match {name} --invite`.",
    ),
    "not_understood": Kind(
        "Facts of type {type} are kept but not understood by this version.",
        "Upgrade; they are decided again by a version that knows them.",
    ),
    "payer_over_limit": Kind(
        "{number} would take more than {limit} from payer {payer} in a month; it is held.",
        "Approve it: `zoho-gocardless decide invoice {number} --retry`. Or raise rules.max_payer_month and approve the "
        "policy: then it is "
        "looked at again.",
    ),
    "payer_taken": Kind(
        "{name} belongs to payer {payer} by what is stored, and so does contact {other}, which is linked to it; {name} "
        "was not linked.",
        "Correct the stored link on one side, or approve another payer: `zoho-gocardless decide match {name} --payer "
        "ID`.",
    ),
    "payout_breach": Kind(
        "Payout {payout} does not foot: its items sum to {got}, its amount is {wanted}.",
        "Compare it with GoCardless's dashboard; nothing of it is posted.",
    ),
    "payout_unsupported": Kind(
        "Payout {payout} is of a kind that is not posted by itself: {reason}.",
        "Book it in Zoho by hand, then close this.",
    ),
    "policy_ignored": Kind(
        "A policy of version {got} was ignored: version {wanted} is in force.",
        "Set it again with a higher version.",
    ),
    "posting_refused": Kind(
        "Zoho refused {what} for {number}: {reason}.",
        "Correct the cause in Zoho, then replay it: `zoho-gocardless parked replay {id}`.",
    ),
    "read_refused": Kind(
        "A read of {what} was refused: {reason}.",
        "Check the connection: `zoho-gocardless check`. Then replay it: `zoho-gocardless parked replay {id}`.",
    ),
    "reversal_refused": Kind(
        "Zoho refused to reverse the payment for {number}: {reason}. The amount moved to suspense.",
        "Correct the payment in Zoho by hand, then clear suspense.",
    ),
    "two_resources": Kind(
        "One command ({command}) ended in two resources: {got} and {wanted}.",
        "Compare both on the API's side; one of them is too many.",
    ),
    "unapplied": Kind(
        "{payment} could not be applied to {number}: its balance had fallen. The whole payment is unused credit in "
        "Zoho.",
        "Apply the credit in Zoho to what the customer still owes, or refund it.",
    ),
}


def describe(code: str, facts: dict[str, str]) -> tuple[str, str]:
    """Text and remedy of a code with its facts filled in."""
    kind = CATALOGUE[code]
    return kind.text.format_map(facts), kind.remedy.format_map(facts)

"""Payouts: built each working day from all open items of a creditor and currency, paid two hours later.

amount = round(sum of all items), deducted_fees = round(-(sum of the fee items)); a negative sum makes no payout and
is carried on.
"""

from datetime import date, timedelta
from fractions import Fraction

from multidict import MultiDict

from sandbox.calendars import is_working_day, london_day
from sandbox.gocardless.collection import Collection, Doc, Query, metadata_filter
from sandbox.gocardless.errors import invalid, usage
from sandbox.gocardless.ledger import FEE_TYPES, VAT, Item, half_up, round_tenths, tenths_text
from sandbox.gocardless.lifecycle import tell_payment
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.payments import no_exchange
from sandbox.gocardless.rates import default_rate, read_rates
from sandbox.gocardless.refunds import return_refund, tell_refund
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY

# 410 Gone for the items of payouts older than six months.
_ITEMS_KEPT = timedelta(days=183)
_RATE_PLACES = 10


def build_payouts(merchant: Merchant, day: date, *, only: tuple[str, str] | None = None) -> list[Doc]:
    """Build what is to be paid out on `day`; currencies whose banks rest wait.

    `only`: for a scenario simulator, of this creditor and currency alone, whatever the day.
    """
    payouts = []
    for creditor_id, currency in sorted(merchant.ledger.open):
        creditor = merchant.collections["creditors"][creditor_id]
        account = _account(merchant, creditor, currency)
        if creditor["verification_status"] != "successful" or account is None:
            continue
        if only != (creditor_id, currency) if only else not is_working_day(day, SCHEME_OF_CURRENCY[currency].name):
            continue
        items = merchant.ledger.take(creditor_id, currency, day)
        if items:
            payouts.append(_build(merchant, creditor, account, currency, items))
    return payouts


def pay_payout(merchant: Merchant, payout: Doc) -> None:
    """Send a pending payout to the creditor's bank, and announce all that was settled by it."""
    if payout["status"] != "pending":
        return
    links = {"payout": payout["id"]}
    if payout["fx"]["fx_currency"] != payout["currency"]:
        _exchange(merchant, payout)
        _tell(merchant, payout, "fx_rate_confirmed", links)
    payout["status"] = "paid"
    payout["arrival_date"] = london_day(merchant.world.now).isoformat()
    merchant.ledger.move(payout["links"]["creditor"], payout["currency"], "pending_payouts", -payout["amount"] * 10)
    for item in reversed(merchant.payout_items[payout["id"]].records):
        _announce(merchant, item, links)
    _tell(merchant, payout, "paid", links)
    if payout["tax_currency"] not in (None, payout["currency"]):
        merchant.schedule.put("tax_rates", london_day(merchant.world.now) + timedelta(days=1), payout["id"])


def confirm_tax_rates(merchant: Merchant, payout: Doc) -> None:
    """Fix the exchange rates of the fees' taxes, for merchants whose tax is due in another currency."""
    rate = _rate(merchant, payout["currency"], payout["tax_currency"])
    for item in merchant.payout_items[payout["id"]].records:
        for tax in item["taxes"]:
            tenths = half_up(Fraction(tax["amount"]) * 10 * rate)
            tax["destination_amount"] = tenths_text(tenths)
            tax["exchange_rate"] = rate_text(rate)
    _tell(merchant, payout, "tax_exchange_rates_confirmed", {"payout": payout["id"]})


def bounce_payout(merchant: Merchant, payout: Doc) -> None:
    """Let a paid payout come back: there is no event of the payout, only one of the creditor."""
    payout["status"] = "bounced"
    creditor = {"creditor": payout["links"]["creditor"]}
    merchant.events.record("creditors", "bounced_payout", creditor, cause="bounced_payout")


def retry_payout(merchant: Merchant, payout: Doc) -> None:
    """Send a bounced payout again (whether GoCardless does so under the same id is UNCONFIRMED)."""
    payout["status"] = "paid"
    payout["arrival_date"] = london_day(merchant.world.now).isoformat()
    _tell(merchant, payout, "paid", {"payout": payout["id"]})


def list_payouts(merchant: Merchant, call: Call) -> Doc:
    """GET /payouts, `metadata[key]=value` among the filters."""
    wanted = metadata_filter(call.query)
    plain = MultiDict((word, value) for word, value in call.query.items() if not word.startswith("metadata["))
    return merchant.page(
        "payouts", Call(identity="", query=plain, body={}), lambda doc: wanted.items() <= doc["metadata"].items()
    )


def update_payout(merchant: Merchant, call: Call) -> Doc:
    """PUT /payouts/{id}: metadata only."""
    payout = merchant.collections["payouts"].get(call.identity)
    merchant.update_metadata("payouts", payout, call.body)
    return merchant.single("payouts", payout)


def list_payout_items(merchant: Merchant, call: Call) -> Doc:
    """GET /payout_items?payout=. Refusal: no payout named (422), none such (404), older than six months (410)."""
    payout_id = call.query.get("payout")
    if payout_id is None:
        raise invalid("payout_items", ("payout", "is required"))
    payout = merchant.collections["payouts"].get(payout_id)
    if payout["created_at"] < (merchant.world.now - _ITEMS_KEPT).isoformat():
        raise usage("payout_items_gone", "Items of payouts older than 6 months are no longer available")
    collection = merchant.payout_items[payout_id]
    query = Query(collection, call.query, refuse_unknown=merchant.settings.unknown_filters == "refuse")
    records, meta = query.page(lambda _item: True)
    # The cursor's id and the day are ours; the API shows neither.
    shown = [{name: item[name] for name in ("type", "amount", "taxes", "links")} for item in records]
    return {"payout_items": shown, "meta": meta}


def rate_text(rate: Fraction) -> str:
    """Write a rate with at most ten decimal places."""
    scaled = half_up(rate * 10**_RATE_PLACES)
    return f"{scaled // 10**_RATE_PLACES}.{scaled % 10**_RATE_PLACES:0{_RATE_PLACES}d}".rstrip("0")


def _build(merchant: Merchant, creditor: Doc, account: Doc, currency: str, items: list[Item]) -> Doc:
    total = sum(item.amount_tenths for item in items)
    fees = -sum(item.amount_tenths for item in items if item.kind in FEE_TYPES)
    cause = f"{creditor['id']}/{currency}/{merchant.now_text}"
    identity = merchant.new_id("PO", cause)
    tax = VAT.get(creditor["country_code"])
    fx = no_exchange(currency)
    if account["currency"] != currency:
        rate = _rate(merchant, currency, account["currency"])
        fx = {**fx, "fx_currency": account["currency"], "estimated_exchange_rate": rate_text(rate)}
    payout = merchant.collections["payouts"].add(
        {
            "id": identity,
            "created_at": merchant.now_text,
            "amount": round_tenths(total, merchant.settings),
            "deducted_fees": round_tenths(fees, merchant.settings),
            "currency": currency,
            "arrival_date": None,
            "status": "pending",
            "payout_type": "merchant",
            "reference": f"{creditor['bank_reference_prefix']}-{merchant.world.opaque('payout', identity, length=6)}",
            "fx": fx,
            "tax_currency": None if tax is None else tax[0],
            "metadata": {},
            "links": {"creditor": creditor["id"], "creditor_bank_account": account["id"]},
        }
    )
    merchant.ledger.move(creditor["id"], currency, "pending_payouts", payout["amount"] * 10)
    collection = merchant.payout_items[identity] = Collection(
        "payout_items", "", {"payout": lambda _item: identity, **_CUTOVER}
    )
    # Lists run from new to old, so the first item is put last.
    for number, item in reversed(list(enumerate(items))):
        collection.add(_item(merchant, identity, number, item, currency, payout["tax_currency"]))
        payment = merchant.collections["payments"][item.links["payment"]]
        if item.kind == "payment_paid_out":
            payment["links"]["payout"] = identity
            merchant.payment_files[payment["id"]].credit = "payout"
    return payout


# A parameter of the API that changes what 2020's items look like; there are none from 2020 here.
_CUTOVER = {"include_2020_tax_cutover": lambda _item: "true"}


def _item(merchant: Merchant, payout_id: str, number: int, item: Item, currency: str, tax_currency: str | None) -> Doc:
    taxes = []
    if item.tax_tenths and tax_currency is not None:
        tenths = abs(item.tax_tenths) if merchant.settings.tax_sign == "positive" else item.tax_tenths
        same = tax_currency == currency
        taxes.append(
            {
                "amount": tenths_text(tenths),
                "currency": currency,
                "destination_amount": tenths_text(tenths) if same else None,
                "destination_currency": tax_currency,
                "exchange_rate": None,
                "tax_rate_id": "FR_VAT_1" if tax_currency == "EUR" else "GB_VAT_1",
            }
        )
    return {
        "id": f"{payout_id}-{number}",
        "created_at": merchant.now_text,
        "type": item.kind,
        "amount": tenths_text(item.amount_tenths),
        "taxes": taxes,
        "links": item.links,
    }


def _announce(merchant: Merchant, item: Doc, links: dict[str, str]) -> None:
    payment = merchant.collections["payments"][item["links"]["payment"]]
    file = merchant.payment_files[payment["id"]]
    if item["type"] == "payment_paid_out" and payment["status"] == "confirmed" and file.credit == "payout":
        payment["status"] = "paid_out"
        tell_payment(merchant, payment, "paid_out", cause="payment_paid_out", links=links)
    elif item["type"] in ("payment_failed", "payment_charged_back") and file.settles is not None:
        tell_payment(merchant, payment, file.settles, cause=file.settles, links=links)
        file.settles = None
    elif item["type"] == "payment_refunded":
        refund = merchant.collections["refunds"][item["links"]["refund"]]
        tell_refund(merchant, refund, "refund_settled", cause="refund_settled")
    elif item["type"] == "refund_funds_returned":
        return_refund(merchant, merchant.collections["refunds"][item["links"]["refund"]])


def _exchange(merchant: Merchant, payout: Doc) -> None:
    """Confirm the rate: the payout's amount, and that of every payment and refund in it, in the account's currency."""
    currency = payout["fx"]["fx_currency"]
    rate = _rate(merchant, payout["currency"], currency)
    docs = [payout]
    for item in merchant.payout_items[payout["id"]].records:
        if item["type"] == "payment_paid_out":
            docs.append(merchant.collections["payments"][item["links"]["payment"]])
        if item["type"] == "payment_refunded":
            docs.append(merchant.collections["refunds"][item["links"]["refund"]])
    for doc in docs:
        amount = half_up(doc["amount"] * rate)
        doc["fx"] = {**doc["fx"], "fx_currency": currency, "fx_amount": amount, "exchange_rate": rate_text(rate)}


def _rate(merchant: Merchant, source: str, target: str) -> Fraction:
    named = read_rates(merchant.settings.exchange_rates)
    return named.get((source, target)) or default_rate(source, target)


def _account(merchant: Merchant, creditor: Doc, currency: str) -> Doc | None:
    """Give the bank account a currency is paid out to: its own, else the one everything is exchanged for."""
    for wanted in (currency, creditor["fx_payout_currency"]):
        identity = creditor["links"].get(f"default_{str(wanted).lower()}_payout_account")
        if identity is not None:
            return merchant.collections["creditor_bank_accounts"][identity]
    return None


def _tell(merchant: Merchant, payout: Doc, action: str, links: dict[str, str]) -> None:
    cause = {"paid": "payout_paid", "fx_rate_confirmed": "payout_fx_rate_confirmed"}.get(action, f"payout_{action}")
    merchant.events.record("payouts", action, links, cause=cause, resource_metadata=payout["metadata"])

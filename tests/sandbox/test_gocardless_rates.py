"""Payouts in every currency that GoCardless pays out in, of money collected in every other."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from sandbox.gocardless.rates import CURRENCIES, default_rate, read_rates
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY

PAIRS = [(source, target) for source in sorted(CURRENCIES) for target in sorted(CURRENCIES) if source != target]
DAY_AFTER = "2026-01-29T12:00:00Z"


def exchanged(amount: int, rate: str) -> int:
    return int((Decimal(amount) * Decimal(rate)).quantize(Decimal(1), ROUND_HALF_UP))


def test_the_currencies_are_those_of_the_payout_accounts() -> None:
    assert sorted(CURRENCIES) == ["AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD"]
    assert set(SCHEME_OF_CURRENCY) <= CURRENCIES


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_pair_has_a_rate_and_back_again_is_the_same_money(source: str, target: str) -> None:
    there_and_back = default_rate(source, target) * default_rate(target, source)
    assert abs(there_and_back - 1) < Decimal("0.0001")


@pytest.mark.parametrize("country", ["GB", "FR", "US"])
@pytest.mark.parametrize("target", sorted(CURRENCIES))
async def test_a_creditor_is_paid_out_in_one_currency_whatever_it_collects(
    shop: Any, target: str, country: str
) -> None:
    customers = [
        {"company_name": f"Payer in {currency}", "email": "p@example.com", "currency": currency}
        for currency in sorted(SCHEME_OF_CURRENCY)
    ]
    creditor = {"payout_currencies": [target], "fx_payout_currency": target, "country_code": country}
    document = {"quiet": True, "customers": customers, "creditor": creditor}
    status, body = await shop.server.post("/_sandbox/gocardless/populate", document)
    assert status == 200, body
    shop.mandates = [made["mandate"] for made in body["customers"]]
    for place, currency in enumerate(sorted(SCHEME_OF_CURRENCY)):
        await shop.pay(12_345, place, currency)
    await shop.until(DAY_AFTER)
    payouts = {payout["currency"]: payout for payout in await shop.get("/payouts")}
    assert sorted(payouts) == sorted(SCHEME_OF_CURRENCY)
    for currency, payout in payouts.items():
        assert payout["status"] == "paid"
        actions = await shop.happened(payout["id"])
        assert ("fx_rate_confirmed" in actions) == (currency != target)
        fx = payout["fx"]
        assert fx["fx_currency"] == target
        if currency != target:
            assert Decimal(fx["exchange_rate"]) == Decimal(fx["estimated_exchange_rate"]) > 0
            assert fx["fx_amount"] == exchanged(payout["amount"], fx["exchange_rate"])
        tax_currency = {"GB": "GBP", "FR": "EUR"}.get(country)
        assert payout["tax_currency"] == tax_currency
        assert ("tax_exchange_rates_confirmed" in actions) == (tax_currency not in (None, currency))
    await shop.check_books()


async def test_a_scenario_names_the_rates_it_cares_for_and_the_others_stay(shop: Any) -> None:
    await shop.open("GBP", creditor={"payout_currencies": ["SEK"], "fx_payout_currency": "SEK"})
    await shop.config(exchange_rates={"SEK/GBP": "13.5"})
    await shop.pay(10_000)
    await shop.until("2026-01-12T12:00:00Z")
    (payout,) = await shop.get("/payouts")
    assert (payout["fx"]["exchange_rate"], payout["fx"]["fx_amount"]) == ("13.5", exchanged(payout["amount"], "13.5"))
    await shop.server.post("/_sandbox/gocardless/populate", {"creditor": {"payout_currencies": ["NZD"]}})
    await shop.server.post("/_sandbox/gocardless/populate", {"creditor": {"fx_payout_currency": "NZD"}})
    await shop.pay(10_000)
    await shop.until("2026-01-26T12:00:00Z")
    assert Decimal((await shop.get("/payouts"))[0]["fx"]["exchange_rate"]) == Decimal("2.135383")


@pytest.mark.parametrize(
    "rates", [{"GBP/XXX": "1"}, {"GBPEUR": "1"}, {"GBP/EUR": "much"}, {"GBP/EUR": "0"}, {"GBP/EUR": "-1"}]
)
async def test_rates_that_would_stop_time_later_are_refused_when_they_are_named(
    shop: Any, rates: dict[str, str]
) -> None:
    status, body = await shop.server.post("/_sandbox/config", {"gocardless": {"exchange_rates": rates}})
    assert status == 400
    assert next(iter(rates)) in body


@pytest.mark.parametrize("creditor", [{"payout_currencies": ["GBP", "CHF"]}, {"fx_payout_currency": "CHF"}])
async def test_a_creditor_is_not_paid_out_in_other_currencies(shop: Any, creditor: dict[str, Any]) -> None:
    status, body = await shop.server.post("/_sandbox/gocardless/populate", {"creditor": creditor})
    assert (status, "does not pay out in CHF" in body) == (400, True)


def test_rates_are_read_as_written() -> None:
    assert read_rates({"GBP/EUR": "0.8562"}) == {("EUR", "GBP"): default_rate("EUR", "GBP")}

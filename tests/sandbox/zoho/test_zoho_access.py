"""Tokens and limits: who may call, and how often."""

from datetime import timedelta
from typing import Any

import pytest


def exchange(shop: Any, **form: str) -> tuple[int, dict[str, Any]]:
    client = {name: shop.made["oauth"][name] for name in ("client_id", "client_secret")}
    form = {**client, "grant_type": "authorization_code", **form}
    status, document = shop.simulator.oauth.token(form, "http://zoho.example")
    return status, document


def renew(shop: Any, refresh_token: str, **form: str) -> tuple[int, dict[str, Any]]:
    return exchange(shop, grant_type="refresh_token", refresh_token=refresh_token, **form)


def test_a_code_is_good_once_and_for_a_minute(shop: Any) -> None:
    oauth = shop.simulator.oauth
    code = oauth.grant("ZohoBooks.invoices.READ,ZohoBooks.contacts.ALL")
    status, token = exchange(shop, code=code)
    assert (status, token["expires_in"], token["token_type"]) == (200, 3600, "Bearer")
    assert token["api_domain"] == "http://zoho.example"
    assert token["scope"] == "ZohoBooks.invoices.READ ZohoBooks.contacts.ALL"
    assert exchange(shop, code=code) == (200, {"error": "invalid_code"})
    late = oauth.grant("ZohoBooks.fullaccess.all")
    shop.pass_time(seconds=60)
    assert exchange(shop, code=late) == (200, {"error": "invalid_code"})
    status, renewed = renew(shop, token["refresh_token"])
    assert status == 200
    assert "refresh_token" not in renewed


def test_errors_come_with_status_200(shop: Any) -> None:
    code = shop.simulator.oauth.grant("x", "https://app.example/back")
    assert exchange(shop, code=code, client_id="1000.X") == (200, {"error": "invalid_client"})
    assert exchange(shop, code=code, client_secret="x") == (200, {"error": "invalid_client_secret"})
    assert exchange(shop, code=code, redirect_uri="https://evil.example") == (200, {"error": "invalid_redirect_uri"})
    assert exchange(shop, grant_type="password") == (200, {"error": "general_error"})
    assert renew(shop, "1000.unknown") == (200, {"error": "invalid_code"})


def test_the_eleventh_access_token_in_ten_minutes_is_denied_and_trying_lengthens_it(shop: Any) -> None:
    refresh = shop.simulator.oauth.issue_refresh("ZohoBooks.fullaccess.all")
    for _ in range(10):
        assert "access_token" in renew(shop, refresh)[1]
    status, denied = renew(shop, refresh)
    assert (status, denied["error"]) == (400, "Access Denied")
    shop.world.move_to(shop.world.now + timedelta(minutes=9))
    assert renew(shop, refresh)[1]["error"] == "Access Denied"
    shop.world.move_to(shop.world.now + timedelta(minutes=9))
    assert renew(shop, refresh)[1]["error"] == "Access Denied"
    shop.world.move_to(shop.world.now + timedelta(minutes=10))
    assert "access_token" in renew(shop, refresh)[1]
    shop.simulator.configure({"switches": {"throttle_status": 200}})
    for _ in range(9):
        renew(shop, refresh)
    assert renew(shop, refresh)[0] == 200


def test_the_sixteenth_active_access_token_ends_the_oldest(shop: Any) -> None:
    refresh = shop.simulator.oauth.issue_refresh("ZohoBooks.fullaccess.all")
    tokens = []
    for n in range(16):
        if n == 8:
            shop.world.move_to(shop.world.now + timedelta(minutes=10))
        tokens.append(renew(shop, refresh)[1]["access_token"])

    def works(token: str) -> bool:
        shop.token = token
        return bool(shop.call("GET", "/organizations").status == 200)

    assert not works(tokens[0])
    assert all(works(token) for token in tokens[1:])


def test_the_twenty_first_refresh_token_silently_ends_the_oldest(shop: Any) -> None:
    first = shop.made["oauth"]["refresh_token"]
    assert shop.call("GET", "/organizations").status == 200
    for _ in range(20):
        shop.simulator.oauth.issue_refresh("ZohoBooks.fullaccess.all")
    assert renew(shop, first) == (200, {"error": "invalid_code"})
    assert shop.call("GET", "/organizations").code == 57


def test_tokens_die_by_time_by_revocation_and_by_fault(shop: Any) -> None:
    shop.world.move_to(shop.world.now + timedelta(seconds=3599))
    assert shop.call("GET", "/invoices").status == 200
    shop.world.move_to(shop.world.now + timedelta(seconds=1))
    assert (shop.call("GET", "/invoices").status, shop.call("GET", "/invoices").code) == (401, 57)
    shop.renew()
    shop.simulator.fault_effect("token_death")
    assert shop.call("GET", "/invoices").code == 57
    shop.renew()
    assert shop.call("GET", "/invoices").status == 200
    shop.simulator.fault_effect("token_revoked")
    assert shop.fresh_token() == {"error": "invalid_code"}
    assert shop.call("GET", "/invoices").code == 57


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", 14),
        ("Bearer {token}", 14),
        ("Zoho-oauthtoken", 14),
        ("Zoho-oauthtoken nonsense", 14),
        ("Zoho-oauthtoken 1000.a.b", 57),
    ],
)
def test_the_header_has_its_own_word(shop: Any, header: str, code: int) -> None:
    reply = shop.call("GET", "/invoices", headers={"Authorization": header.format(token=shop.token)})
    assert (reply.status, reply.code) == (401, code)


def test_a_missing_scope_looks_like_a_dead_token(shop: Any) -> None:
    refresh = shop.simulator.oauth.issue_refresh("ZohoBooks.invoices.READ,ZohoBooks.contacts.ALL")
    shop.token = renew(shop, refresh)[1]["access_token"]
    assert shop.call("GET", "/invoices").status == 200
    assert shop.call("DELETE", "/contacts/1").code == 1002
    for method, path in (("POST", "/invoices"), ("GET", "/customerpayments"), ("GET", "/organizations")):
        reply = shop.call(method, path, {})
        assert (reply.status, reply.code) == (401, 57)


def test_the_organisation_has_to_be_named_and_need_not_be_the_first(shop: Any) -> None:
    wrong = shop.call("GET", "/invoices", organization_id="10")
    assert (wrong.status, wrong.code) == (400, 6041)
    assert wrong.document["message"].endswith("10.")
    shop.simulator.books.org.decoys = ["Another firm"]
    rows = shop.ok("GET", "/organizations", organization_id="")["organizations"]
    assert [row["name"] for row in rows] == ["Another firm", "Fern & Tide"]
    assert rows[0]["organization_id"] != shop.org
    assert (rows[1]["plan_name"], rows[1]["currency_code"]) == ("Professional", "GBP")
    single = shop.ok("GET", f"/organizations/{shop.org}")["organization"]
    assert "plan_name" not in single


def test_a_hundred_a_minute(shop: Any) -> None:
    shop.simulator.configure({"switches": {"minute_limit": 0}})
    shop.pass_time(minutes=2)
    codes = [shop.call("GET", "/settings/taxes").code for _ in range(101)]
    assert codes == [0] * 100 + [44]
    assert shop.call("GET", "/settings/taxes").status == 429
    shop.pass_time(seconds=60)
    assert shop.call("GET", "/settings/taxes").code == 0


def test_the_days_calls_by_plan_until_midnight(shop: Any) -> None:
    shop.simulator.configure({"switches": {"daily_limit": 0}})
    assert shop.ok("GET", "/invoices").headers["x-rate-limit-limit"] == "5000"
    shop.simulator.configure({"switches": {"daily_limit": 5}})
    before = int(shop.ok("GET", "/invoices").headers["x-rate-limit-remaining"])
    for _ in range(before):
        shop.ok("GET", "/invoices")
    refused = shop.call("GET", "/invoices")
    assert (refused.status, refused.code) == (429, 45)
    assert refused.document["message"].endswith("call rate limit of 5.")
    assert refused.headers["x-rate-limit-remaining"] == "0"
    shop.pass_time(seconds=int(refused.headers["x-rate-limit-reset"]))
    assert shop.ok("GET", "/invoices").headers["x-rate-limit-remaining"] == "4"


def test_calls_at_once(shop: Any) -> None:
    shop.simulator.limits.in_flight = 11
    reply = shop.call("GET", "/invoices")
    assert (reply.status, reply.code) == (429, 1070)
    shop.simulator.limits.in_flight = 10
    assert shop.call("GET", "/invoices").status == 200

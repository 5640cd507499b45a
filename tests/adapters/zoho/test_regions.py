import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.zoho.regions import REGIONS, RegionError, region, region_of, simulator


def test_the_eight_of_books_are_confirmed_and_two_are_not():
    assert {code for code, row in REGIONS.items() if row.confirmed} == {"us", "eu", "in", "au", "jp", "ca", "cn", "sa"}
    assert {code for code, row in REGIONS.items() if not row.confirmed} == {"uk", "ae"}


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("https://www.zohoapis.com", "us"),
        ("https://accounts.zoho.eu/", "eu"),
        ("https://api.zoho.eu", "eu"),
        ("accounts.zoho.in", "in"),
        ("www.zohoapis.com.au", "au"),
        ("https://accounts.zohocloud.ca", "ca"),
        ("https://www.zohoapis.ca", "ca"),
        ("https://books.zohocloud.ca", "ca"),
        ("HTTPS://WWW.ZOHOAPIS.JP", "jp"),
        ("https://accounts.zoho.uk", "uk"),
    ],
)
def test_every_address_of_a_data_centre_names_it(address, code):
    assert region_of(address).code == code


def test_canada_does_not_follow_the_pattern():
    assert REGIONS["ca"].accounts_url == "https://accounts.zohocloud.ca"
    assert REGIONS["ca"].api_url == "https://www.zohoapis.ca"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://accounts.zoho.eu.evil.example",
        "https://evil.example/accounts.zoho.eu",
        "https://accounts.zoho.eu@evil.example",
        "https://evil.example#accounts.zoho.eu",
        "https://evil.example?accounts.zoho.eu",
        "https://evil.example\\accounts.zoho.eu",
        "https://accounts.zoho.eu:8443",
        "http://accounts.zoho.eu",
        "https://accounts.zoho.eu/oauth",
        "https://accounts.zoho.eu?",
        "https://accounts%2ezoho.eu",
        "https://аccounts.zoho.eu",  # noqa: RUF001 - a Cyrillic letter is the point
        "https://accounts.zoho.eu.",
        "ftp://accounts.zoho.eu",
        "https://accounts.zoho.eu\n",
        "https://[::1",
        "https://" + "a" * 400,
        "https://127.0.0.1",
        "http://127.0.0.1:8000",
        "http://localhost",
    ],
)
def test_anything_else_is_refused(address):
    with pytest.raises(RegionError):
        region_of(address)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000", "http://localhost:1/", "http://[::1]:80", "http://127.0.0.1"]
)
def test_this_machine_only_for_the_simulators(address):
    found = region_of(address, sandbox=True)
    assert found.code == "sandbox"
    assert found.api_url == found.accounts_url == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.2:1",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://a@127.0.0.1",
        "http://127.0.0.1/x",
        "http://127.0.0.1:x",
    ],
)
def test_the_sandbox_flag_opens_no_other_door(address):
    with pytest.raises(RegionError):
        region_of(address, sandbox=True)


@pytest.mark.parametrize("address", ["http://sandbox:8102", "http://sandbox:8102/"])
def test_the_simulators_are_where_the_settings_say(address):
    assert region_of(address, table=[simulator("http://sandbox:8102")]).api_url == "http://sandbox:8102"


@pytest.mark.parametrize(
    "address", ["http://sandbox:8103", "http://sandbox", "http://sandbox:8102.evil.example", "http://sandbox:8102/x"]
)
def test_the_simulators_are_nowhere_else(address):
    with pytest.raises(RegionError):
        region_of(address, table=[simulator("http://sandbox:8102")])


def test_an_operator_adds_a_data_centre():
    row = region("sg", "accounts.zoho.sg", "www.zohoapis.sg", "books.zoho.sg", confirmed=False)
    with pytest.raises(RegionError):
        region_of("https://accounts.zoho.sg")
    assert region_of("https://accounts.zoho.sg", table=[row]) is row


@pytest.mark.parametrize(
    "host", ["https://accounts.zoho.sg", "accounts.zoho.sg/x", "ACCOUNTS.zoho.sg", "a b", "accounts.zoho.sg:443"]
)
def test_an_added_host_must_be_bare(host):
    with pytest.raises(RegionError):
        region("sg", host, "www.zohoapis.sg", "books.zoho.sg")


@given(st.text(max_size=60))
def test_no_text_makes_it_do_anything_but_refuse(text):
    try:
        found = region_of(text)
    except RegionError:
        return
    assert found.code in REGIONS

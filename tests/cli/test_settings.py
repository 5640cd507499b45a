"""Settings that a person writes: what is out of bounds is refused with the setting, the place and what is allowed."""

import re

import pytest

from streams.settings import PREFIX, SettingsError, decode, load


def tree(**rules):
    acme = {
        "environment": "sandbox",
        "gocardless": {},
        "zoho": {"region": "eu", "organization_id": "1"},
        "rules": rules,
    }
    return {"log": "sqlite:///log.db", "store": "sqlite:///store.db", "connections": {"acme": acme}}


@pytest.mark.parametrize(("name", "least", "most"), [("send_days_before_due", 0, 90), ("send_hour", 0, 23)])
def test_a_number_of_the_rules_has_the_bounds_that_the_page_states(name, least, most):
    for value in (least, most):
        assert getattr(decode(tree(**{name: value}), "a.toml").connections["acme"].rules, name) == value
    for value in (least - 1, most + 1):
        said = (
            f"a.toml: connections.acme.rules.{name}: {value} is not allowed; use a whole number from {least} to {most}"
        )
        with pytest.raises(SettingsError, match=f"^{re.escape(said)}$"):
            decode(tree(**{name: value}), "a.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gateway": {"prot": 1}}, "gateway.prot: is not a setting; did you mean port?"),
        ({"gatway": {}}, "gatway: is not a setting; did you mean gateway?"),
        (
            {"match_by_email": "auto"},
            "match_by_email: is not a setting; write match_by_email under [connections.NAME.rules]",
        ),
        (
            {"gateway": {"partitions": 1}},
            "gateway.partitions: is not a setting; write partitions under no table, at the top of the file",
        ),
        ({"gateway": {"a\nb": 1}}, 'gateway."a\\nb": is not a setting; use one of host, port'),
        ({"gateway": "x"}, 'gateway: "x" is not a table; write its settings under [gateway]'),
        ({"gateway": {"host": 8090}}, 'gateway.host: 8090 is not allowed; use text in quotes, as in "8090"'),
        ({"gateway": {"port": "x" * 100}}, "gateway.port: "),
        ({"kafka": {"sasl": "SCRAM"}}, 'use "" or "PLAIN" or "SCRAM-SHA-256" or "SCRAM-SHA-512"'),
        ({"kafka": {"min_insync": 4}}, "kafka.min_insync: 4 is not allowed; use a whole number from 1 to 3"),
        ({"calls": {"deadline_s": float("nan")}}, "calls.deadline_s: nan is not allowed; use a number from 0.1 to 120"),
        ({"store": 5}, "store: what stands there is not allowed; use text in quotes"),
        ({"connections": {"acme": {"environment": "live"}}}, "connections.acme.zoho: is missing; add it under [conn"),
        ({"connections": {"Acme": tree()["connections"]["acme"]}}, "connections.Acme: is no name of a connection; use"),
    ],
)
def test_what_is_wrong_is_told_with_its_path_what_was_given_and_what_is_allowed(change, said):
    with pytest.raises(SettingsError) as caught:
        decode(tree() | change, "a.toml")
    assert str(caught.value).startswith("a.toml: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "`" not in str(caught.value)


def test_what_may_be_a_password_is_not_repeated():
    with pytest.raises(SettingsError) as caught:
        decode(tree() | {"kafka": {"password": 31337}}, "a.toml")
    assert "31337" not in str(caught.value)


FILE = """\
log = "sqlite:////log.db"
store = "sqlite:////store.db"
[gateway]
port = 8090
"""


@pytest.mark.parametrize(
    ("more", "variables", "where", "said"),
    [
        ("", {"GATEWAY__PORT": "x"}, "GATEWAY__PORT", 'gateway.port: "x" is not allowed'),
        ("", {"GATEWAY": "x"}, "GATEWAY", 'gateway: "x" is not a table'),
        ("", {"LOG__PATH": "x"}, "LOG__PATH", "log: is not a table"),
        ("", {"GATWAY__PORT": "1"}, "GATWAY__PORT", "did you mean ZOHO_GOCARDLESS__GATEWAY__PORT?"),
        ("", {"GATEWAY__PROT": "1"}, "GATEWAY__PROT", "did you mean ZOHO_GOCARDLESS__GATEWAY__PORT?"),
        ("", {"CONNECTIONS__ACME__ENVIRONMENT": "live"}, "CONNECTIONS__ACME__ENVIRONMENT", "acme.zoho: is missing"),
        ("prot = 1", {"GATEWAY__PORT": "1"}, None, "gateway.prot: is not a setting; did you mean port?"),
        ("[calls]\nsettle_s = -1", {"GATEWAY__PORT": "1"}, None, "calls.settle_s: -1 is not allowed"),
    ],
)
def test_a_variable_is_named_where_it_set_the_wrong_value_and_else_the_file(tmp_path, more, variables, where, said):
    file = tmp_path / "a.toml"
    file.write_text(FILE + more)
    with pytest.raises(SettingsError) as caught:
        load(file, {PREFIX + name: value for name, value in variables.items()})
    assert str(caught.value).startswith(f"{file if where is None else PREFIX + where}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["log = ", "log = \xff", f"partitions = {'9' * 5000}", f"x = {'[' * 100_000}"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    file = tmp_path / "a.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match=f"^{re.escape(str(file))}: not "):
        load(file, {})


def test_a_currency_stays_in_capitals_in_a_variable(tmp_path):
    """A ceiling of "gbp" would hold nothing."""
    file = tmp_path / "settings.toml"
    file.write_text(f'log = "sqlite:////{tmp_path}/l.db"\nstore = "sqlite:////{tmp_path}/s.db"\n')
    given = {
        "ENVIRONMENT": "sandbox",
        "ZOHO__REGION": "eu",
        "ZOHO__ORGANIZATION_ID": "1",
        "RULES__MAX_DEBIT__GBP": "100.00",
        "RULES__MAX_DAY_COUNT__EUR": "3",
        "RULES__TAX__GB_VAT_1": "VAT 20%",
        "RULES__SEND_HOUR": "7",
    }
    rules = load(file, {f"ZOHO_GOCARDLESS__CONNECTIONS__ACME__{name}": value for name, value in given.items()})
    found = rules.connections["acme"].rules
    assert (found.max_debit, found.max_day_count) == ({"GBP": "100.00"}, {"EUR": 3})
    assert (found.tax, found.send_hour) == ({"GB_VAT_1": "VAT 20%"}, 7)

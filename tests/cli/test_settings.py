"""Settings that a person writes: what is out of bounds is refused with the setting, the place and what is allowed."""

import pytest

from streams.settings import SettingsError, decode


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
        with pytest.raises(SettingsError, match=rf"a\.toml: connections\[\.\.\.\]\.rules\.{name}: Expected `int`"):
            decode(tree(**{name: value}), "a.toml")

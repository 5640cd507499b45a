"""Texts of the form "kind:key": made in one place, and read as what they were made from."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domain
from domain import lists, refs
from domain.draft import WOKEN
from domain.refs import Ref
from domain.routing import _DECIDE, _OUTCOMES
from domain.state import KINDS
from domain.vocabulary import RowKind, RuleKind

ROOT = Path(domain.__file__).parents[1]

KINDS_OF_TEXT = {
    kind
    for closed in (
        refs.RefKind,
        refs.PurposeKind,
        refs.TimerKind,
        refs.ListKind,
        refs.HandleKind,
        refs.SubjectKind,
    )
    for kind in get_args(closed)
}


@given(st.sampled_from(get_args(refs.RefKind)), st.text(max_size=9))
def test_a_ref_is_read_as_what_it_was_made_from(kind, key):
    ref = Ref(kind, key)
    assert str(ref) == f"{kind}:{key}"
    assert Ref.parse(str(ref)) == ref
    assert refs.split(str(ref)) == (kind, key)
    assert refs.discrepancy("excess", ref) == f"excess:{ref}"


def test_a_kind_that_this_version_does_not_know_is_no_ref():
    assert Ref.parse("instalments:IS1") is None
    assert Ref.parse("") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("invoices:1", ("invoices", "1")),
        ("payouts:PO1:suspense", ("payouts", "PO1:suspense")),
        ("bookings:PM1:1", None),
        ("deliveries:d-1", None),
        ("unknown:x", None),
        ("parked:d-1", None),
        ("", None),
    ],
)
def test_only_a_row_with_a_rule_is_looked_at_again(text, found):
    assert refs.ruled(text) == found


def test_the_kinds_are_those_of_the_rows_the_rules_and_the_lists():
    assert set(get_args(RowKind)) == set(KINDS)
    assert set(get_args(RuleKind)) == set(_DECIDE)
    assert set(_OUTCOMES) <= set(get_args(refs.RefKind))
    assert set(WOKEN) <= set(get_args(refs.ListKind))


def test_the_texts_are_what_the_store_holds_since_version_0_1_0():
    assert refs.purpose("invite", "c-1", "GBP") == "invite:c-1:GBP"
    assert refs.purpose("sweep") == "sweep"
    assert refs.timer("view", "1") == "view:1"
    assert refs.list_of("unmatched") == "unmatched"
    assert refs.list_of("contacts", refs.handle("email", "a@b.example")) == "contacts:email:a@b.example"
    assert lists.element(refs.list_of("viewing", "MD1"), "1") == "viewing:MD1|1"
    assert refs.subject("payer", "CU1") == "payer:CU1"
    assert refs.booking("PM1", 2) == "PM1:2"
    assert refs.payout_item("PO1", 12) == "PO1:000012"
    assert refs.open_item("GBP", "PM1") == "GBP:PM1"
    assert refs.balance("clearing", "GBP") == "clearing:GBP"


def made_by_hand():
    """(file, line, text) of every text in the rules, the store and the stages that looks like one made by hand."""
    for room in ("domain", "adapters", "projections", "streams"):
        for file in sorted((ROOT / room).rglob("*.py")):
            if file.name == "refs.py" or "migrations" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                    kind, colon, rest = str(node.values[0].value).partition(":")
                    if colon and not rest and kind in KINDS_OF_TEXT:
                        yield f"{file.relative_to(ROOT)}:{node.lineno} {kind}:"


def test_no_text_of_this_form_is_made_anywhere_else():
    assert list(made_by_hand()) == []

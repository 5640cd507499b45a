import ast
import inspect
from itertools import permutations

import pytest

from domain import codec, events, routing
from domain.envelope import Event, UnknownData
from domain.state import State
from tests.support.company import Company


@pytest.fixture
def asked(company):
    """A company that has asked for one read."""
    company.open_gate()
    company.invoice("1", "c-9")
    return company, company.take("zoho.read_contact")


def status(company, command):
    return company.state.commands[command.id].status


def test_the_outcome_of_an_unknown_command_changes_nothing(company):
    decision = company.tell("command.outcome", events.Outcome("cm-nobody", 1, "succeeded", "X"))
    assert decision.empty
    assert not list(company.state.rows())


@pytest.mark.parametrize("others", [("refused", "parked"), ("withheld", "refused"), ("parked", "parked")])
def test_success_stands_before_every_other_outcome_in_any_order(asked, others):
    for order in permutations(["succeeded", *others]):
        company = Company()
        company.open_gate()
        company.invoice("1", "c-9")
        command = company.take("zoho.read_contact")
        for call, kind in enumerate(order, start=1):
            company.outcome(command, kind, "c-9" if kind == "succeeded" else "", call=call)
        row = company.state.commands[command.id]
        assert (row.status, row.resource_id) == ("succeeded", "c-9")
        assert "read_refused" not in company.open_codes()


def test_of_two_outcomes_that_are_no_success_the_first_stands(asked):
    company, command = asked
    company.outcome(command, "refused", reason="one")
    company.outcome(command, "parked", reason="two", call=2)
    assert (status(company, command), company.state.commands[command.id].reason) == ("refused", "one")


def test_one_command_with_two_resources_is_shown(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    company.tell("gocardless.payment_read", company.payment_read("PM1", debit))
    company.outcome(debit, resource="PM1")
    company.outcome(debit, resource="PM1", call=2)
    assert company.open_codes() == set()
    company.outcome(debit, resource="PM2", call=3)
    assert company.state.discrepancies[f"two_resources:commands:{debit.id}"].text == (
        "One command (gocardless.create_payment) ended in two resources: PM2 and PM1."
    )
    assert company.state.invoices["1"].payment == "PM1"


@pytest.mark.parametrize("kind", ["parked", "refused"])
def test_what_was_given_up_is_sent_again_as_it_was(asked, kind):
    company, command = asked
    company.outcome(command, kind, reason="unreachable")
    decision = company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id))
    assert decision.resends == [command.id]
    assert decision.commands == []
    assert status(company, command) == "open"
    company.check_replay()


@pytest.mark.parametrize("kind", ["succeeded", "withheld", None])
def test_what_was_not_given_up_is_not_sent_again(asked, kind):
    company, command = asked
    if kind:
        company.outcome(command, kind, resource="c-9" if kind == "succeeded" else "")
    assert company.tell("operator.replay_requested", events.ReplayRequested("finance", command.id)).resends == []


def test_a_replay_of_something_that_is_no_command_changes_nothing(company):
    assert company.tell("operator.replay_requested", events.ReplayRequested("finance", "deliveries.zoho/0/7")).empty


def test_a_delivery_that_could_not_be_read_is_shown(company):
    company.tell("delivery.parked", events.DeliveryParked("d-1", "deliveries.zoho", 0, 7, "no JSON"))
    row = company.state.discrepancies["delivery_parked:deliveries:d-1"]
    assert (row.text, row.remedy.endswith("`zoho-gocardless parked replay d-1` after an upgrade.")) == (
        "A delivery could not be read at the whole: no JSON. It is kept whole.",
        True,
    )
    company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", row.id))
    assert company.open_codes() == set()


def test_closing_what_is_not_there_changes_nothing(company):
    assert company.tell("operator.discrepancy_closed", events.DiscrepancyClosed("finance", "excess:payments:PM1")).empty


def test_facts_that_are_not_understood_are_shown_once_a_type(company):
    for type_ in ("gocardless.blocks.created", "zoho.estimate_seen", "gocardless.blocks.created"):
        value = codec.encode_event(
            Event("e", type_, "c1", "", company.now, "", events.GcEvent("blocks", "created", {}))
        )
        company.tell(type_, codec.decode_event(value).data)
    company.tell("zoho.later", UnknownData(codec.encode_json({"a": 1})))
    found = {key for key, row in company.state.discrepancies.items() if row.code == "not_understood"}
    assert found == {
        f"not_understood:types:{one}" for one in ("gocardless.blocks.created", "zoho.estimate_seen", "zoho.later")
    }


@pytest.mark.parametrize("resource", sorted(routing.QUIET_RESOURCES))
def test_resources_that_change_nothing_here_are_quiet(company, resource):
    assert company.gc(resource, "something", links={}).empty


def test_every_type_of_event_has_a_fold():
    state = State("c1")
    for type_ in events.TYPES:
        assert type_ in routing._EVOLVE, type_
    assert not list(state.rows())


def test_facts_without_the_link_that_they_need_change_nothing(company):
    for resource in ("payments", "mandates", "payouts", "billing_requests"):
        company.gc(resource, "created" if resource != "payouts" else "paid", links={})
    assert not company.state.payments
    assert not company.state.mandates
    assert not company.state.payouts
    assert not company.state.billing_requests


def test_a_rebuild_of_an_event_that_decided_nothing_changes_only_what_the_fact_says():
    state = State("c1")
    event = Event("e-1", "clock.day_began", "c1", "", "2026-03-02T09:00:00.000Z", "", events.DayBegan("2026-03-02"))
    routing.restep(state, event, None)
    assert state.own.today == "2026-03-02"
    assert len(list(state.rows())) == 1


def test_a_look_up_that_finds_two_records_is_shown(company):
    payment = company.collect()
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    command = company.take("zoho.create_customer_payment")
    company.outcome(command, resource="zp-1", reason="duplicate", found=True)
    assert f"duplicate_found:bookings:{payment}:1" in company.state.discrepancies


def reads_as(fold):
    """How a fold takes the data of its event: the annotation of each `data: X = event.data`, and the classes that it
    asks for.
    """
    for node in ast.walk(ast.parse(inspect.getsource(fold))):
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.value) == "event.data":
            yield getattr(events, ast.unparse(node.annotation).removeprefix("events."))
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "isinstance"
            and ast.unparse(node.args[0]) == "data"
        ):
            yield getattr(events, ast.unparse(node.args[1]).removeprefix("events."))


#: These need nothing of their event but that it happened.
WITHOUT_DATA = {"operator.gate_closed"}


def test_every_fold_takes_the_data_that_its_type_of_event_carries():
    """`Event.data` is of any type to the type check, so the table could lead a fact to a rule for another."""
    for type_, fold in routing._EVOLVE.items():
        wanted = [] if type_ in WITHOUT_DATA else [events.TYPES[type_]]
        assert list(reads_as(fold)) == wanted, type_
        assert bool(wanted) == ("event.data" in inspect.getsource(fold)), type_
    for resource, fold in routing._EVOLVE_RESOURCE.items():
        assert list(reads_as(fold)) in ([events.GcEvent], [events.BillingRequestRead]), resource
    routed = {*routing._EVOLVE, *(one for one, data in events.TYPES.items() if data is events.GcEvent)}
    assert routed == set(events.TYPES)

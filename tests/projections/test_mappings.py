"""The mappings over rows behave as dictionaries do, whatever is cached, changed, taken back or dropped."""

import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.envelope import Event
from domain.policy import Accounts, Policy
from domain.state import KINDS, Contact, DiscrepancyRow, Payment, PaymentFact
from projections.state import mappings
from projections.state.batch import take
from projections.state.mappings import RowSource, read_state
from projections.store.errors import StoreCorrupt
from projections.store.rows import CODECS
from projections.store.select_in import chunks
from projections.store.store import Store
from tests.support import batch_records as make

_VALUES = {"text": "Ünïcode \x00 ' %s ?", "integer": 10**15, "boolean": True}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("filled", [False, True])
def test_every_kind_survives_the_database(store: Store, kind: str, filled: bool) -> None:
    values = dict(_VALUES)
    if store.dialect == "postgresql":
        values["text"] = values["text"].replace("\x00", "")  # PostgreSQL's text holds every character but this one
    row = KINDS[kind]("key")
    if filled:
        row = msgspec.structs.replace(
            row, **{f.name: values[f.shape] for f in CODECS[kind].fields[1:] if f.shape != "json"}
        )
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").mapping(kind)["key"] = row
        batch.record(0, make.event(0))
        batch.commit(1)
    own.clear()
    with own.batch(1) as batch:
        read = batch.state("acme").mapping(kind)["key"]
    assert read == row
    assert {name: type(value) for name, value in msgspec.structs.asdict(read).items()} == {
        name: type(value) for name, value in msgspec.structs.asdict(row).items()
    }


def test_nested_values_survive_the_database(store: Store) -> None:
    payment = Payment("PM1", facts=(PaymentFact("EV1", make.NOW, "confirmed", will_retry=True),))
    policy = Policy(version=3, accounts=Accounts(clearing={"GBP": "1", "EUR": "2"}))
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        state = batch.state("acme")
        state.payments["PM1"] = payment
        state.connections["acme"] = msgspec.structs.replace(
            state.own, policy=policy, undecided=("a", "b"), rates={"EUR": "1.1"}
        )
        batch.record(0, make.event(0))
        batch.commit(1)
    own.clear()
    with own.batch(1) as batch:
        assert batch.state("acme").payments["PM1"] == payment
        assert batch.state("acme").policy == policy
        assert batch.state("acme").own.undecided == ("a", "b")


def test_a_row_that_cannot_be_decoded_is_corrupt(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").contacts["c"] = Contact("c")
        batch.record(0, make.event(0))
        batch.commit(1)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE contacts SET waiting_currencies = '{'")
    own.clear()
    with own.batch(1) as batch, pytest.raises(StoreCorrupt, match="a row of contacts"):
        batch.state("acme").contacts.get("c")


def test_connections_do_not_see_each_other(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").payments["PM1"] = Payment("PM1")
        assert "PM1" not in batch.state("other").payments
        batch.record(0, make.event(0))
        batch.commit(1)
    with own.batch(1) as batch:
        assert len(batch.state("other").payments) == 0
        assert list(batch.state("acme").payments) == ["PM1"]


def test_the_committed_state_can_be_read_without_owning_it(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").payments["PM1"] = Payment("PM1", status="committed")
        batch.record(0, make.event(0))
        batch.commit(1)
    with own.batch(1) as batch:
        batch.state("acme").payments["PM1"] = Payment("PM1", status="not yet")
        with read_state(store, "acme") as state:
            assert state.payments["PM1"].status == "committed"
            state.payments["PM1"] = Payment("PM1", status="lost")
    with read_state(store, "acme") as state:
        assert state.payments["PM1"].status == "committed"
    with pytest.raises(RuntimeError, match="outside"):
        state.payments.get("PM2")


def test_a_row_is_read_once_and_its_absence_too(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.rows("acme").preload("payments", ["PM1", "PM2"])
        payments = batch.state("acme").payments
        own.source._cursor.close()  # whatever asks the database from here on fails
        assert payments.get("PM1") is None
        assert payments.get("PM2", "default") == "default"
        with pytest.raises(KeyError):
            payments["PM1"]
        with pytest.raises(KeyError):
            del payments["PM1"]
        batch.rows("acme").preload("payments", ["PM2"])


@pytest.mark.parametrize("kept", [2, 1000])
def test_of_a_kind_that_is_seldom_there_only_what_is_there_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(mappings, "KEPT_KEYS", kept)
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        for number in range(3):
            batch.state("acme").discrepancies[f"d{number}"] = DiscrepancyRow(f"d{number}")
        batch.record(0, make.event(0))
        batch.commit(1)
    own.clear()
    asked: list[list[str]] = []
    run = RowSource.run
    monkeypatch.setattr(RowSource, "run", lambda self, sql, keys: asked.append(keys) or run(self, sql, keys))
    with own.batch(1) as batch:
        held = batch.state("acme").discrepancies
        assert [key for key in ("d1", "none", "d2", "nor this") if key in held] == ["d1", "d2"]
        del held["d1"]
        held["new"] = DiscrepancyRow("new")
        batch.discard()
        assert ("d1" in held, "new" in held) == (True, False)
        held["new"] = DiscrepancyRow("new")
        del held["d2"]
        batch.record(1, make.event(1))
        batch.commit(2)
    assert len([keys for keys in asked if keys[0] == "acme"]) == (4 if kept == 1000 else 6)
    with own.batch(2) as batch:
        held = batch.state("acme").discrepancies
        assert [key for key in ("d0", "d1", "d2", "new", "none") if key in held] == ["d0", "d1", "new"]


def test_an_unchanged_row_is_not_written(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").payments["PM1"] = Payment("PM1")
        batch.record(0, make.event(0))
        batch.commit(1)
    with own.batch(1) as batch:
        payments = batch.state("acme").payments
        payments["PM1"] = Payment("PM1")
        assert "PM2" not in payments
        payments["PM2"] = Payment("PM2")
        del payments["PM2"]
        assert payments.differences() == ([], [])  # type: ignore[attr-defined]  # the store's own mapping


def test_keys_come_in_few_sizes(store: Store) -> None:
    sizes = {count: [size for size, _ in chunks(store, list(range(count)))] for count in (0, 1, 2, 17, 600)}
    if store.dialect == "sqlite":
        assert sizes == {0: [], 1: [1], 2: [16], 17: [128], 600: [512, 128]}
        assert list(chunks(store, ["a", "b"])) == [(16, ["a"] + ["b"] * 15)]
    else:
        assert sizes == {0: [], 1: [1], 2: [512], 17: [512], 600: [512, 512]}
        assert list(chunks(store, ["a", "b"])) == [(512, [["a", "b"]])]


_KEYS = st.sampled_from(["a", "b", "c"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _KEYS, st.integers(0, 3)),
        st.tuples(st.just("delete"), _KEYS, st.just(0)),
        st.tuples(
            st.sampled_from(["record", "discard", "commit", "rollback", "forget", "age", "list"]),
            st.just(""),
            st.just(0),
        ),
    ),
    max_size=40,
)


class _Model:
    """What a dictionary would hold: now, as of the last record, and as of the last commit."""

    def __init__(self) -> None:
        self.now: dict[str, Payment] = {}
        self.recorded: dict[str, Payment] = {}
        self.committed: dict[str, Payment] = {}


class _Model:
    """What a dictionary would hold: now, as of the last record, and as of the last commit."""

    def __init__(self) -> None:
        self.now: dict[str, Payment] = {}
        self.recorded: dict[str, Payment] = {}
        self.committed: dict[str, Payment] = {}


_numbers = itertools.count()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_STEPS)
def test_a_mapping_is_a_dictionary(store: Store, steps: list[tuple[str, str, int]]) -> None:
    own, model, name = take(store, "core", "events", 0), _Model(), f"connection-{next(_numbers)}"
    remaining = iter(steps)
    action: str | None = "start"
    while action is not None:
        with own.batch(own.position) as batch:
            rows = batch.state(name).payments
            for action, key, value in remaining:
                if action == "set":
                    rows[key] = model.now[key] = Payment(key, booked=value)
                elif action == "delete":
                    assert rows.pop(key, None) == model.now.pop(key, None)
                elif action == "record":
                    batch.record(own.position, Event(f"EV{next(_numbers)}", "test", name, "", "", "", None))
                    model.recorded = dict(model.now)
                elif action == "discard":
                    batch.discard()
                    model.now = dict(model.recorded)
                elif action == "list":
                    assert dict(rows) == model.now
                else:
                    break
                assert {key: rows.get(key) for key in "abc"} == {key: model.now.get(key) for key in "abc"}
            else:
                action = None
            if action == "commit":
                batch.commit(own.position + 1)
                model.committed = dict(model.recorded)
        model.now, model.recorded = dict(model.committed), dict(model.committed)
        if action == "forget":
            own.clear()
        elif action == "age":
            own.states[name].age()
    own.clear()
    with own.batch(own.position) as batch:
        assert dict(batch.state(name).payments) == model.committed

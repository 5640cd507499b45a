"""Lists kept as rows: the same keys in the same order as a list in memory, at a cost that does not grow."""

from hypothesis import given
from hypothesis import strategies as st

from domain import codec, lists
from domain.decisions import Decision, Mark
from domain.draft import WAKE_AT_ONCE, Draft, apply
from domain.envelope import Event
from domain.state import Contact, Invoice, Mandate, State

AT = "2026-03-02T09:00:00.000Z"
keys = st.sampled_from("abcdef")
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), keys), max_size=40)


class _Counting(dict):
    """A mapping that counts what is asked of it and written to it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def get(self, *key):
        self.count += 1
        return super().get(*key)

    def __getitem__(self, key):
        self.count += 1
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        self.count += 1
        super().__setitem__(key, value)


def a_draft(state):
    return Draft(state, Event("e-1", "x", "c1", AT, AT, "test", None))


@given(steps)
def test_it_holds_what_a_list_in_memory_holds(taken):
    state, wanted = State("c1"), []
    for act, key in taken:
        if act == "add":
            assert lists.add(state, "l", key) == (key not in wanted)
            wanted += [key] if key not in wanted else []
        else:
            assert lists.remove(state, "l", key) == (key in wanted)
            wanted = [one for one in wanted if one != key]
        assert lists.oldest(state, "l", 99) == wanted
        assert lists.newest(state, "l", 99) == wanted[::-1]
        assert lists.first(state, "l") == (wanted[0] if wanted else "")
        assert lists.only(state, "l") == (wanted[0] if len(wanted) == 1 else "")
        assert len(state.elements) == len(wanted)
        assert len(state.lists) == (1 if wanted else 0)


@given(steps, steps)
def test_two_histories_that_lead_to_the_same_keys_lead_to_the_same_rows(one, other):
    states = []
    for taken in (one, other):
        state = State("c1")
        for act, key in taken:
            (lists.add if act == "add" else lists.remove)(state, "l", key)
        states.append(state)
    same = lists.oldest(states[0], "l", 99) == lists.oldest(states[1], "l", 99)
    assert (list(states[0].rows()) == list(states[1].rows())) == same


def test_adding_and_removing_cost_the_same_however_long_the_list_is():
    state = State("c1", {kind: _Counting() for kind in _kinds()})
    costs = []
    for number in range(3_000):
        before = _count(state)
        lists.add(state, "l", f"k-{number:05d}")
        costs.append(_count(state) - before)
    for number in range(0, 3_000, 2):
        before = _count(state)
        lists.remove(state, "l", f"k-{number:05d}")
        costs.append(_count(state) - before)
    assert max(costs) <= 10


def _kinds():
    from domain.state import KINDS

    return KINDS


def _count(state):
    return state.lists.count + state.elements.count


@given(st.integers(0, 3 * WAKE_AT_ONCE), st.integers(0, 3))
def test_a_walk_wakes_each_key_once_in_bounded_parts_and_not_what_joins_meanwhile(size, joining):
    state = State("c1")
    for number in range(size):
        lists.add(state, "viewing:MD1", f"k-{number:05d}")
    woken, parts = [], 0
    draft = a_draft(state)
    draft.wake("viewing:MD1")
    assert draft.take() in {None, ("lists", "viewing:MD1")}
    while True:
        draft.wake_next("viewing:MD1")
        part = list(iter(draft.take, None))
        assert len(part) <= WAKE_AT_ONCE
        woken += [key for kind, key in part if kind == "invoices"]
        parts += 1
        for number in range(joining):
            draft.join("viewing:MD1", f"new-{parts}-{number}")
        decision = draft.decision()
        assert codec.decode_decision(codec.encode_decision(decision)).lists == decision.lists
        if not any(timer.id.startswith("more:") for timer in decision.timers):
            break
        draft = a_draft(state)
    assert woken == [f"k-{number:05d}" for number in range(size)]
    assert lists.oldest(state, "viewing:MD1", 999) == [
        f"new-{part + 1}-{number}" for part in range(parts) for number in range(joining)
    ]


@given(steps)
def test_a_recorded_decision_changes_lists_as_making_it_did(taken):
    live, rebuilt = State("c1"), State("c1")
    for act, key in taken:
        draft = a_draft(live)
        (draft.join if act == "add" else draft.leave)("l", key)
        decision = draft.decision()
        assert decision.empty == (not decision.lists)
        apply(rebuilt, codec.decode_decision(codec.encode_decision(decision)))
    assert list(rebuilt.rows()) == list(live.rows())


@given(st.lists(st.lists(keys, unique=True), max_size=8))
def test_lists_that_version_0_1_0_recorded_whole_become_rows(recorded):
    state = State("c1")
    state.mandates["MD1"] = Mandate("MD1")
    state.contacts["c-1"] = Contact("c-1")
    for number, key in enumerate("abcdef"):
        state.invoices[key] = Invoice(key, currency="EUR" if number % 2 else "GBP")
    for whole in recorded:
        marks = [
            Mark("mandates", "MD1", {"viewing": whole}),
            Mark("contacts", "c-1", {"waiting": whole, "match": "none"}),
        ]
        apply(state, Decision("e-1", "c1", AT, marks=marks))
        assert sorted(lists.oldest(state, "viewing:MD1", 9)) == sorted(whole)
        for currency in ("GBP", "EUR"):
            mine = [key for key in whole if state.invoices[key].currency == currency]
            assert sorted(lists.oldest(state, f"waiting:c-1:{currency}", 9)) == sorted(mine)
            assert (currency in state.contacts["c-1"].waiting_currencies) == bool(mine)

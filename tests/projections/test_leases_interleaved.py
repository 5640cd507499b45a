"""Two owners and whatever order of their steps: one of them can record intents, and what was begun is never begun again
unseen.

Each step is drawn from a seed; the owners know only what the store told them, as two processes would, and one of them
may stop for any time and go on with what it believed before.
"""

import random
from dataclasses import dataclass, field

import pytest

from domain import times
from projections.state.batch import take
from projections.store.errors import LeaseLost
from projections.store.store import Store, open_store
from projections.work.leases import Held, Lease, Leases
from projections.work.outbox import Outbox
from projections.work.queue import Queue, Queued
from tests.support import batch_records as make

TTL_S = 60
DEADLINE_S = 20
SETTLE_S = 10
STEPS = 400


@dataclass
class Truth:
    """What a witness of everything knows."""

    now: str
    holder: str = ""
    epoch: int = 0
    lapses_at: str = ""
    takeovers: int = 0
    refused: int = 0
    looked_up: int = 0
    #: By command: when its last call was begun, by whom, and under which epoch.
    calls: dict[str, tuple[str, str, int]] = field(default_factory=dict)


@dataclass
class Owner:
    """One process: its own view of the store, and what it believes."""

    name: str
    store: Store
    truth: Truth
    lease: Lease | None = None
    claims: list[Queued] = field(default_factory=list)
    under_way: list[Queued] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leases = Leases(self.store, simulated=True)
        self.queue = Queue(self.store)

    def acquire(self) -> None:
        truth = self.truth
        free = truth.holder in ("", self.name) or truth.lapses_at <= truth.now
        found = self.leases.acquire("acme", "zoho", self.name, truth.now, TTL_S)
        assert isinstance(found, Lease) == free
        if isinstance(found, Held):
            assert (found.owner, found.until) == (truth.holder, truth.lapses_at)
            return
        truth.takeovers += truth.holder not in ("", self.name)
        truth.holder, truth.epoch, truth.lapses_at = self.name, found.epoch, found.until
        self.lease = found
        self.queue.abandoned(found, truth.now, times.add_seconds(truth.now, DEADLINE_S + SETTLE_S))

    def renew(self) -> None:
        if self.lease is not None:
            self._with_the_lease(self._renewed, lapsed_will_do=True)

    def _renewed(self, lease: Lease) -> None:
        self.lease = self.leases.renew(lease, self.truth.now, TTL_S)
        self.truth.lapses_at = self.lease.until

    def release(self) -> None:
        if self.lease is not None and not self.under_way:
            if self._is_holder():
                self.truth.holder = ""
            self.leases.release(self.lease, self.truth.now)
            self.lease = None

    def claim(self) -> None:
        """Read what may be done; it may be old by the time it is acted upon."""
        self.claims = self.queue.claim(self.truth.now, "acme", "zoho", 3)

    def begin(self) -> None:
        if self.lease is not None and self.claims:
            self._with_the_lease(self._begun, lapsed_will_do=False)
            self.claims = []

    def _begun(self, lease: Lease) -> None:
        truth = self.truth
        deadline_at = times.add_seconds(truth.now, DEADLINE_S)
        before = {one.command.id: one for one in self.claims}
        for one in self.queue.record_intents(lease, truth.now, deadline_at, self.claims):
            name = one.command.id
            assert one.calls == before[name].calls + 1
            last = truth.calls.get(name)
            if last is not None and before[name].state == "unknown":
                truth.looked_up += 1
            if last is not None and last[1:] != (self.name, lease.epoch) and before[name].state != "ready":
                begun_at, _, _ = last
                assert before[name].state == "unknown", "it is looked up, not sent"
                assert truth.now >= times.add_seconds(begun_at, DEADLINE_S + SETTLE_S), (
                    "the former owner's call has settled"
                )
            truth.calls[name] = (truth.now, self.name, lease.epoch)
            self.under_way.append(one)

    def end(self, draw: random.Random) -> None:
        """An answer came, or did not; a late one may not move what is another's by now."""
        if not self.under_way:
            return
        one = self.under_way.pop(draw.randrange(len(self.under_way)))
        mine = (
            self.truth.calls[one.command.id][1:] == (self.name, self.lease.epoch if self.lease else 0)
            and self._is_holder()
        )
        soon = times.add_seconds(self.truth.now, 1)
        how = draw.choice(["retry", "unknown"])
        noted = (self.queue.retry_at if how == "retry" else self.queue.unknown)(
            "acme", one.command.id, one.calls, soon, how
        )
        assert noted or not mine, "an owner's own call is noted"

    def die(self) -> None:
        """A restart: under another name, without a memory."""
        self.name, self.lease, self.claims, self.under_way = f"{self.name}'", None, [], []

    def _is_holder(self) -> bool:
        return self.lease is not None and (self.truth.holder, self.truth.epoch) == (self.name, self.lease.epoch)

    def _with_the_lease(self, act, *, lapsed_will_do: bool) -> None:
        assert self.lease is not None
        may = self._is_holder() and (lapsed_will_do or self.truth.lapses_at > self.truth.now)
        try:
            act(self.lease)
        except LeaseLost:
            assert not may, "the owner was refused"
            self.truth.refused += 1
            self.lease = None
        else:
            assert may, "two could act at once"


@pytest.fixture
def asked(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        for number in range(6):
            event = make.event(number)
            batch.record(number, event, make.decision(event, commands=(make.command(f"cm-{number}"),)))
        batch.commit(6)
    Outbox(store).mark_published(Outbox(store).unpublished(0, 100))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.usefixtures("asked")
def test_two_owners_in_any_order(store: Store, url: str, seed: int) -> None:
    draw = random.Random(seed)
    truth = Truth(make.NOW)
    with open_store(url) as second:
        owners = [Owner("one", store, truth), Owner("two", second, truth)]
        steps = ["acquire", "renew", "claim", "begin", "begin", "claim", "end", "end", "time", "time", "release", "die"]
        for _ in range(STEPS):
            owner, step = draw.choice(owners), draw.choice(steps)
            if step == "time":
                truth.now = times.add_seconds(truth.now, draw.choice([0, 5, 29, 61]))
            elif step == "end":
                owner.end(draw)
            elif step != "die" or draw.random() < 0.1:
                getattr(owner, step)()
    assert truth.takeovers > 1
    assert truth.refused > 1
    assert truth.looked_up > 1
    assert truth.calls

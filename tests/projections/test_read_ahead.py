"""Reading ahead: what the rules ask for in a company's month, be it there or not, is read before they ask."""

from bench import _company
from domain import routing
from projections.state.batch import take
from projections.state.mappings import RowSource

#: Single reads for each event. On a server each is a round trip; without names for what is not there yet there was one
#: for every second event.
MOST = 0.05
_BATCH = 100


def test_a_month_is_decided_with_hardly_a_single_read(store, monkeypatch):
    story = [event for event, _ in _company.month(20).story]
    asked = []
    one = RowSource.one
    monkeypatch.setattr(RowSource, "one", lambda source, kind, *key: asked.append(kind) or one(source, kind, *key))
    own = take(store, "core", "events", 0)
    for start in range(0, len(story), _BATCH):
        part = story[start : start + _BATCH]
        with own.batch(start) as batch:
            batch.prepare(part)
            for offset, event in enumerate(part, start):
                batch.record(offset, event, routing.step(batch.state(event.connection), event))
            batch.commit(start + len(part))
    assert len(story) > 300
    assert 0 < len(asked) < MOST * len(story), sorted(asked)

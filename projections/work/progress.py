"""How far a stage has come in a partition, where the log's own word on it does not last. Only ever forward."""

import sqlalchemy as sa

from projections.store.store import Store
from projections.store.tables import positions


class Progress:
    """Positions of stages that change no projection: nothing is fenced by them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, stage: str, topic: str, partition: int) -> int:
        """The offset before which everything is done; 0 when nothing is known."""
        with self._store.read() as reader:
            return int(
                reader.execute(sa.select(positions.c.next_offset).where(*_here(stage, topic, partition))).scalar() or 0
            )

    def advance(self, stage: str, topic: str, partition: int, next_offset: int) -> None:
        """Everything before `next_offset` is done; one that is behind what is known changes nothing."""
        assert next_offset >= 0, "a position is an offset"
        here = _here(stage, topic, partition)
        with self._store.write() as writer:
            changed = (
                sa.update(positions).where(*here, positions.c.next_offset < next_offset).values(next_offset=next_offset)
            )
            if (
                writer.execute(changed).rowcount == 0
                and writer.execute(sa.select(positions.c.stage).where(*here)).first() is None
            ):
                row = (stage, topic, partition, next_offset, self._store.generation, 0)
                writer.exec_driver_sql(self._store.insert(positions), row)
            held = writer.execute(sa.select(positions.c.next_offset).where(*here)).scalar_one()
            assert held >= next_offset, "what is done would be done again"


def _here(stage: str, topic: str, partition: int) -> tuple[sa.ColumnElement[bool], ...]:
    c = positions.c
    return c.stage == stage, c.topic == topic, c.partition == partition

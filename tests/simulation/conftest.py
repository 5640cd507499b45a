"""The short month, lived once by the real program, as oracles are given it."""

import asyncio
from pathlib import Path

import pytest

from streams.log.topics import Topics
from streams.simulation.oracles import Evidence, breaches, rebuild_breaches
from tests.support.evidence import ended_month, fixed
from tests.support.months import SHORT, live, never, open_month


class Lived:
    """A month that is over: its evidence, its folder, and what a rebuild of it showed."""

    def __init__(self, evidence: Evidence, folder: Path, unlike: list, read: list):
        self.evidence, self.folder, self.rebuilt, self.read_from_log = evidence, folder, unlike, read


@pytest.fixture(scope="session")
def lived(tmp_path_factory) -> Lived:
    return asyncio.run(_lived(tmp_path_factory.mktemp("lived")))


async def _lived(folder: Path) -> Lived:
    async with open_month(SHORT, folder) as (simulators, program):
        await live(SHORT, simulators, program, never)
        state = await simulators.state()
        await program.stop()
    async with ended_month(folder, state) as (evidence, log, store):
        topics = Topics(evidence.settings.topic_prefix, evidence.settings.partitions)
        unlike = rebuild_breaches(log, topics, store, evidence.now, folder)
        return Lived(fixed(evidence), folder, unlike, breaches(evidence))


@pytest.fixture
def month(lived) -> Evidence:
    return lived.evidence

"""Installations that earlier versions left behind, as their files were: this version opens them, explains them and
rebuilds them.

Each archive in `fixtures` is of one version; `make_fixture.py` made it. A version whose users are to be carried over
adds one of its own.
"""

import tarfile
import typing
from collections import Counter
from pathlib import Path

import pytest
from packaging.version import Version

from domain import codec, commands, discrepancies, events
from projections.state.mappings import read_state
from projections.store.store import open_store
from streams.demo import demo
from streams.demo.result import CONNECTION
from streams.log.interface import TopicPartition
from streams.log.records import header
from streams.log.topics import Topics
from streams.operate.installation import opened_log
from tests.support.command_line import command

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(one.name.removesuffix(".tar.xz") for one in FIXTURES.iterdir())

#: Type of event or command, or code → the first version that knows it, where the fixture of an earlier one is kept.
SINCE: dict[str, str] = {
    "operator.day_accepted": "0.2.0.dev0",
    "poll.head_reached": "0.2.0.dev0",
    "day_over_limit": "0.2.0.dev0",
    "due_before_start": "0.2.0.dev0",
    "facts_left_out": "0.2.0.dev0",
    "payer_over_limit": "0.2.0.dev0",
    "payer_taken": "0.2.0.dev0",
}


def known_to(version, names):
    """Those that a version knew."""
    return [one for one in names if one not in SINCE or Version(SINCE[one]) <= Version(version)]


#: Version → type of event → why a run of it did not bring one about.
EVENTS_NOT_HELD: dict[str, dict[str, str]] = {"0.1.0": {}, "0.2.0.dev0": {}}

#: Version → type of command → why a run of it did not bring one about.
COMMANDS_NOT_HELD: dict[str, dict[str, str]] = {"0.1.0": {}, "0.2.0.dev0": {}}

#: Code of a discrepancy → why no run so far has brought one about.
_NO_RUN: dict[str, str] = {
    "already_booked": "the first booking of a payment is there already only after a loss of the log",
    "amount_mismatch": "the simulator makes no debit of another amount than it was asked for",
    "command_parked": "a debit's not-after passes before its thirty tries are used up",
    "duplicate_found": "needs one transfer booked twice by hand, with our marker",
    "fee_refund": "needs a payout that brings back more fees than it charges",
    "gate_refused": "the command line refuses before it becomes an event",
    "payout_breach": "the simulator's payouts foot",
    "policy_ignored": "the command line gives each policy a higher version",
    "two_resources": "needs a create that is answered with two ids",
    "unapplied": "needs a balance that falls between the decision and its posting",
}

#: Version → code of a discrepancy → why a run of it did not bring one about.
CODES_NOT_HELD: dict[str, dict[str, str]] = {"0.1.0": _NO_RUN, "0.2.0.dev0": _NO_RUN}

#: Version → codes of discrepancies that are open at the end.
OPEN: dict[str, frozenset[str]] = {
    "0.1.0": frozenset({"debit_reversed", "foreign_items", "reversal_refused"}),
    "0.2.0.dev0": frozenset(
        {
            "debit_reversed",
            "due_before_start",
            "facts_left_out",
            "foreign_items",
            "payer_over_limit",
            "payer_taken",
            "reversal_refused",
        }
    ),
}

_ASKED = {
    "INV-0007": "On hold (refer to payer)",
    "INV-83": "a person has said so",
    "INV-90": "is confirmed and paid out",
    "INV-91": "another way of collecting it is under way in Zoho",
    "INV-93": "no clearing account is mapped for its currency",
}

#: Version → invoice → what `why` says of it, among other words.
ASKED: dict[str, dict[str, str]] = {
    "0.1.0": _ASKED,
    "0.2.0.dev0": {
        **_ASKED,
        "INV-69": "its customer has no usable mandate",
        "INV-70": "it fell due before the day from which collection was accepted",
        "INV-75": "it would exceed what may be debited from its payer in a month",
        "INV-79": "is confirmed and paid out",
    },
}


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def unpacked(version, name, folder):
    """A copy of what a version left behind; neither API answers."""
    with tarfile.open(FIXTURES / f"{version}.tar.xz") as packed:
        packed.extractall(folder, [one for one in packed if one.name.startswith(f"{name}/")], filter="data")
    folder /= name
    settings = folder / "settings.toml"
    settings.write_text(settings.read_text().replace("{folder}", str(folder)))
    (folder / "keys").chmod(0o600)
    return folder


@pytest.fixture
def left_behind(version, tmp_path):
    """An installation that was stopped at the end of its month."""
    return unpacked(version, "stopped", tmp_path)


@pytest.fixture
def killed(version, tmp_path):
    """An installation that was killed while debits waited for a view, and invoices for a mandate."""
    return unpacked(version, "killed", tmp_path)


async def records(folder, topic):
    """(type, value) of every record of a topic."""
    settings = demo.load(folder / "settings.toml", {})
    topics = Topics(settings.topic_prefix, settings.partitions)
    found = []
    async with opened_log(settings) as log:
        for partition in range(topics.partitions):
            tp = TopicPartition(topics.prefix + topic, partition)
            offset, end = await log.start_offset(tp), await log.end_offset(tp)
            while offset < end:
                batch = await log.read(tp, offset, 500)
                found += [((header(one, "type") or b"").decode(), one.value or b"") for one in batch]
                offset = batch[-1].offset + 1
    return found


def missing(known, held, excused):
    """What is neither held nor excused, and what is excused and held all the same: with the reason."""
    return {one: "not held" for one in known if one not in held and one not in excused} | {
        one: f"held, though {why}" for one, why in excused.items() if one in held
    }


async def test_it_holds_every_type_of_event_and_all_decode(left_behind, version):
    found = await records(left_behind, "events")
    decoded = [codec.decode_event(value) for _, value in found]
    assert [one.type for one in decoded] == [type_ for type_, _ in found]
    assert not [one.type for one in decoded if isinstance(one.data, codec.UnknownData)]
    known = known_to(version, events.TYPES)
    assert missing(known, {one.type for one in decoded}, EVENTS_NOT_HELD[version]) == {}


async def test_it_holds_every_type_of_command_and_all_decisions_decode(left_behind, version):
    decided = [codec.decode_decision(value) for _, value in await records(left_behind, "decisions")]
    held = {command.type for one in decided for command in one.commands}
    known = [str(one.__struct_config__.tag) for one in typing.get_args(commands.AnyCommandData)]
    assert missing(known_to(version, known), held, COMMANDS_NOT_HELD[version]) == {}
    assert any(one.entries for one in decided)
    assert any(one.resends for one in decided)
    assert any(one.publications for one in decided)


async def test_it_holds_the_discrepancies_that_a_month_can_bring(left_behind, version):
    decided = [codec.decode_decision(value) for _, value in await records(left_behind, "decisions")]
    held = Counter(opened.code for one in decided for opened in one.opened)
    known = known_to(version, discrepancies.CATALOGUE)
    assert missing(known, held, CODES_NOT_HELD[version]) == {}


def test_how_it_stands_is_told(left_behind, version):
    (connection,) = command(left_behind, "status")["connections"]
    assert (connection["name"], connection["gate"]) == (CONNECTION, "open")
    assert connection["unpublished"] == 0
    assert {"reconciled", "held"} <= set(connection["payouts"])
    assert {one["code"] for one in connection["discrepancies"]} >= OPEN[version]


def test_why_is_answered_for_each_of_its_documents(left_behind):
    (connection,) = command(left_behind, "status")["connections"]
    abouts = [one["about"].partition(":") for one in connection["discrepancies"]]
    asked = {kind: key for kind, _, key in abouts if kind in {"contacts", "invoices", "payouts"}}
    assert len(asked) == 3
    for kind, key in asked.items():
        found = command(left_behind, "why", kind[:-1], key)
        assert found["why"]["state"], (kind, key)
        assert found["trail"], (kind, key)


def test_why_its_invoices_stand_where_they_do_is_told(left_behind, version):
    for number, words in ASKED[version].items():
        assert words in command(left_behind, "why", "invoice", number, "--brief")["why"]["state"], number


def test_its_events_are_listed(left_behind):
    found = command(left_behind, "events", "--limit", "100000")["records"]
    assert len(found) > 500


def test_its_store_is_what_a_rebuild_gives(left_behind):
    assert command(left_behind, "rebuild", "--verify")["differences"] == []


def test_a_rebuild_in_place_succeeds_and_is_verified(left_behind):
    rebuilt = command(left_behind, "rebuild")["rebuilt"]
    assert rebuilt["set_aside"] == 0
    assert command(left_behind, "rebuild", "--verify")["differences"] == []


def test_a_killed_installation_holds_what_waits(killed):
    with open_store(demo.load(killed / "settings.toml", {}).store) as store, read_state(store, CONNECTION) as state:
        stages = Counter(row.stage for row in state.invoices.values())
        assert {"viewing", "waiting", "scheduled"} <= set(stages)
        assert any(row.status == "open" for row in state.commands.values())
        assert {"ambiguous", "proposed", "linked", "none"} <= {row.match for row in state.contacts.values()}


def test_a_killed_installations_store_is_what_a_rebuild_gives(killed):
    assert command(killed, "rebuild", "--verify")["differences"] == []
    assert command(killed, "rebuild")["rebuilt"]["set_aside"] == 0
    assert command(killed, "rebuild", "--verify")["differences"] == []

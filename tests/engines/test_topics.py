"""The table of topics, and the errors' promise."""

from functools import cached_property

import pytest

from streams.log import interface as log_module
from streams.log.interface import LogError
from streams.log.topics import TOPICS, Topics, TopicSpec


def test_all_topics_have_one_partition_count_and_the_prefix():
    topics = Topics("acme.", 12)
    specs = list(topics)
    assert {spec.partitions for spec in specs} == {12}
    assert [spec.name for spec in specs] == ["acme." + spec.name for spec in TOPICS]
    own = {name for name in dir(Topics) if isinstance(vars(Topics).get(name), cached_property)}
    assert {getattr(topics, name).name for name in own} == {spec.name for spec in specs}
    assert {spec.partitions for spec in Topics()} == {8}


def test_what_the_books_rest_on_is_kept_for_ever_and_the_rest_has_a_stated_end():
    kept = {spec.name: spec.retention_s for spec in TOPICS}
    assert [name for name, retention in kept.items() if retention is None] == ["events", "decisions"]
    assert kept["deliveries.zoho"] == kept["deliveries.gocardless"] >= 10 * 365 * 86_400
    assert {spec.key for spec in TOPICS if spec.name.startswith("reconciled")} == {"resource"}


@pytest.mark.parametrize("prefix", ["a b", "a/b", "é", "x" * 121])
def test_a_prefix_that_no_engine_could_hold_is_refused(prefix):
    with pytest.raises(ValueError, match="topic prefix"):
        Topics(prefix)


@pytest.mark.parametrize(("name", "partitions"), [("t", 0), ("t", 257), ("", 1), ("t" * 250, 1)])
def test_a_topic_that_no_engine_could_hold_is_refused(name, partitions):
    with pytest.raises(ValueError, match="topic"):
        TopicSpec(name, "connection", partitions, None, "")


def test_every_error_says_what_where_and_what_to_do():
    errors = [each for each in vars(log_module).values() if isinstance(each, type) and issubclass(each, LogError)]
    assert len(errors) == 18
    for error in errors:
        told = error("it broke", "/a/log.db", "mend it")
        assert str(told) == "it broke; at /a/log.db; mend it"
        assert (told.what, told.where, told.remedy) == ("it broke", "/a/log.db", "mend it")
        assert error.__name__ in (log_module.__doc__ or "")
    assert {each.__name__ for each in errors if each.retriable} == {"LogUnavailable", "LogFull", "LogOverloaded"}

"""What others import from us goes on working where it lay, with a warning that says where it is now."""

import importlib

import pytest


def test_the_imports_of_earlier_documents_still_work_and_warn_where_they_have_moved():
    engines = importlib.import_module("streams.engines")
    with pytest.warns(DeprecationWarning, match="from streams.log import open_log"):
        old = engines.open_log
    log = importlib.import_module("streams.log")
    assert old is log.open_log
    assert log.TopicPartition("events", 0).partition == 0
    with pytest.raises(AttributeError):
        getattr(engines, "no_such_thing")  # noqa: B009 - an attribute that is not there

"""`docs/api.md` is the code's: its names, its signatures, its fields and its errors."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import streams.log
from streams.log import interface, open_log
from streams.log.interface import Log, Record

PAGE = "docs/api.md"


def signature(shown):
    """(name, [(parameter, kind, default)]) of a call as the page shows it."""
    text = shown.strip("`").removeprefix("await ")
    name, inside = text.split("(", 1)
    (function,) = ast.parse(f"def f({inside}: ...").body
    arguments = function.args
    defaults = [ast.literal_eval(one) for one in arguments.defaults]
    plain = [one.arg for one in arguments.args]
    padded = [inspect.Parameter.empty] * (len(plain) - len(defaults)) + defaults
    parameters = [(one, False, default) for one, default in zip(plain, padded, strict=True)]
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append((one.arg, True, ast.literal_eval(default)))
    return name, parameters


def parameters_of(function):
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind is one.KEYWORD_ONLY, one.default) for one in found if one.name != "self"]


def test_every_import_is_there_and_every_name_that_the_log_offers_is_named(document):
    named = {}
    for line in re.findall(r"^\| `(from [^`]+)`", document(PAGE), re.MULTILINE):
        (statement,) = ast.parse(line).body
        (alias,) = statement.names
        assert hasattr(importlib.import_module(statement.module), alias.name), line
        named.setdefault(statement.module, set()).add(alias.name)
    assert named["streams.log"] == set(streams.log.__all__)


def test_opening_has_the_signature_that_is_shown(document):
    (shown,) = re.findall(r"^`(open_log\(.*?\))`", document(PAGE), re.MULTILINE)
    assert signature(shown) == ("open_log", parameters_of(open_log))


def test_every_method_has_the_signature_that_is_shown_and_the_errors_are_the_logs(rows):
    shown = list(rows(PAGE, "Reading"))[1:]
    assert len(shown) > 8
    for call, _, errors in shown:
        name, parameters = signature(call)
        method = getattr(Log, name)
        assert parameters == parameters_of(method), name
        assert ("await " in call) is inspect.iscoroutinefunction(method), name
        assert all(issubclass(getattr(interface, one), interface.LogError) for one in re.findall(r"`(\w+)`", errors))


def test_every_field_of_a_record_is_shown(rows):
    shown = [name for cells in list(rows(PAGE, "A record"))[1:] for name in re.findall(r"`(\w+)`", cells[0])]
    assert shown == list(Record.__struct_fields__)


def test_every_error_is_one_of_the_logs(rows):
    shown = [cells[0].strip("`") for cells in list(rows(PAGE, "Errors"))[1:]]
    assert shown
    assert all(issubclass(getattr(interface, one), interface.LogError) for one in shown)


def test_the_example_runs(log_url):
    page = Path(__file__).parents[2] / PAGE
    parsed = Sybil(parsers=[PythonCodeBlockParser()], path=str(page.parent), patterns=["api.md"]).parse(page)
    parsed.namespace["log_url"] = log_url
    examples = list(parsed.examples())
    assert examples
    for example in examples:
        example.evaluate()


@pytest.mark.parametrize("shown", ["read(tp, offset, limit=2)", "read(tp, limit=1_000, max_bytes=4_194_304)"])
def test_another_signature_would_be_noticed(shown):
    assert signature(shown) != ("read", parameters_of(Log.read))

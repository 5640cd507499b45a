"""What is long takes as long as it is, and not the square of that. Nothing is timed: a square of a million ends at the
suite's own limit.
"""

import importlib
import pkgutil
import re

import msgspec
import orjson
import pytest

import adapters
import streams
from adapters.deliveries import DeliveryMeta, PageInfo
from adapters.gocardless import wire as gocardless
from adapters.gocardless.translate import translate as gocardless_translate
from adapters.zoho import codes
from adapters.zoho import wire as zoho
from adapters.zoho.translate import translate as zoho_translate

LENGTH = 1_000_000
NOW = "2026-03-02T09:00:00.000Z"

#: Pieces that, repeated, made one of our patterns begin again at every character, or might make another.
PIECES = [
    "a",
    "1",
    "1234a",
    "a@",
    "@",
    " ",
    '"',
    "'",
    "“",
    "\\",
    "\\\\u000",
    "key",
    "a:",
    ".",
    "-",
    "/",
    "on / (",
    "[",
    "\n",
    "é",
]
TEXTS = {piece: (piece * LENGTH)[:LENGTH] for piece in PIECES}


@pytest.mark.parametrize("piece", PIECES)
def test_an_errors_text_of_a_million_characters_is_read_by_both_apis(piece):
    text = TEXTS[piece]
    body = orjson.dumps(
        {
            "error": {
                "type": "validation_failed",
                "message": text,
                "errors": [{"reason": "r", "field": "f", "message": text}],
            }
        }
    )
    problem = gocardless.problem(body)
    assert problem is not None
    assert len(problem.message) <= 200
    assert len(codes.impersonal(text)) <= 200


@pytest.mark.parametrize("piece", PIECES)
def test_a_key_is_looked_for_in_a_description_of_a_million_characters(piece):
    assert not zoho.shows_key([TEXTS[piece]], "live:PM1:1")
    assert zoho.shows_key([f"{TEXTS[piece]} [live:PM1:1]"], "live:PM1:1")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("for joe@example.com now", "for … now"),
        ("account 12345678 is closed", "account … is closed"),
        ("page 1234 of 9", "page 1234 of 9"),
        ("ref:99999x!", "…"),
        ("", ""),
        ("x " * 396 + "is joe.bloggs@example.com", ("x " * 100).strip()),
    ],
)
def test_of_an_errors_text_no_address_and_no_long_number_is_kept(said, shown):
    problem = gocardless.problem(orjson.dumps({"error": {"type": "t", "message": said}}))
    assert problem is not None
    assert problem.message == shown


def test_a_personal_word_that_is_cut_in_two_is_not_kept_in_part():
    said = "1" * 780 + " " + "joe.bloggs-of-somewhere@example.com"
    problem = gocardless.problem(orjson.dumps({"error": {"type": "t", "message": said}}))
    assert problem is not None
    assert problem.message == "…"


@pytest.mark.parametrize(("kind", "member"), [("zoho.invoices", "invoices"), ("zoho.contacts", "contacts")])
def test_a_page_of_hundreds_of_thousands_of_rows_is_translated(kind, member):
    count = 400_000
    body = orjson.dumps({"code": 0, member: [{}] * count})
    page = PageInfo(kind, 1, NOW, complete=True, fresh=list(range(count)))
    meta = DeliveryMeta("pg-1", "acme", "zoho", "page", NOW, page=page)
    assert len(zoho_translate(meta, body).parked) == count


def test_a_webhook_of_hundreds_of_thousands_of_rows_is_translated():
    meta = DeliveryMeta("wh-1", "acme", "gocardless", "webhook", NOW)
    found = gocardless_translate(meta, orjson.dumps({"events": [{}] * 400_000}))
    assert len(found.parked) == 101


def patterns():
    """Every pattern that a module of ours holds, by its name; the sandbox reads no text of strangers."""
    found = {}
    for package in (adapters, streams):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "sandbox" in module.name or module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    found[f"{module.name}.{name}"] = value
    return found


PATTERNS = patterns()

#: Read from the operating system, at the start: never from anyone outside.
LOCAL = {"streams.log.sqlite.place._BSD_MOUNT"}


def test_the_walk_finds_the_patterns_that_read_what_comes_from_outside():
    assert {
        "adapters.gocardless.wire._ID",
        "adapters.gocardless.wire._PERSONAL",
        "adapters.headers._SECONDS",
        "adapters.zoho.amounts._NUMBER",
        "adapters.zoho.wire._ID",
        "streams.log.records._ZERO",
    } <= PATTERNS.keys()
    assert PATTERNS.keys() >= LOCAL


@pytest.mark.parametrize("name", sorted(PATTERNS.keys() - LOCAL - {"adapters.zoho.codes._QUOTED"}))
def test_no_pattern_of_ours_takes_the_square_of_a_texts_length(name):
    """`_QUOTED` would: its text is cut to 800 characters before it, which the tests above show."""
    pattern = PATTERNS[name]
    for text in TEXTS.values():
        subject = text.encode() if isinstance(pattern.pattern, bytes) else text
        pattern.match(subject)
        if pattern.pattern[-2:] not in (
            "\\Z",
            b"\\Z",
        ):  # those that say where the text ends are only matched, from its begin
            pattern.sub(subject[:0], subject)


def test_a_zero_character_after_a_million_backslashes_is_still_replaced():
    from streams.log.records import _ZERO

    value = b"\\" * LENGTH + b"\\u0000"
    assert msgspec.json.decode(b'"' + _ZERO.sub(rb"\1\\ufffd", value) + b'"')[-1] == "�"

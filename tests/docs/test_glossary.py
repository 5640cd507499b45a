"""The glossary and the code use the same words: what a class is named by stands in `docs/glossary.md` with one meaning,
and a name stands for one class.

Three tables say what is exempt, and why. An entry that is needed no longer fails, so that the tables stay short.
"""

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("domain", "adapters", "projections", "streams", "sandbox")
OTHERS = ("tests", "bench", "examples")

#: What something is or was, after the word for what it is: `MatchApproved` is about a match, `LogFull` about the log.
FORMS = """
    accepted approved began checked closed corrupt count denied failed fenced full gone info large listed
    locked lost meta mismatch moved not only opened outdated overloaded parked reached read ready refused released
    requested set stopped too unavailable
    """

#: Reason → last words of names that are not in the glossary.
PLAIN = {
    "a word of programming, with its usual meaning": """
        body change client codec commit config context copy data database detail difference error failure field file
        history identity key manifest mapping pair part place plan problem process progress range reader remote reply
        request result route scan sender session share source spec statement status step storage summary text time upgrade use watch web wire
        """,
    "a proper name": "auth cardless kafka zoho",
    "a word of an API, which its reference explains": "automation endpoint fx note rate transaction",
    "the simulators' own, explained where it stands": "book collection leg merchant notifier sale schedule",
    "a verb: a protocol of what an API's module offers": "perform",
    "a setting's table": "polling",
    "what nothing repairs by itself, between the settings and a cluster": "contradiction",
    "what an error is named by that has no better noun": "create found resort system",
    "what is being filled by a move": "filling",
    "what kept a list from being read": "hindrance",
    "a connection to a cluster for its administration": "admin",
    "what lets us in: addresses and credentials": "access",
    "how things stand, in one object": "standing",
}

#: Names of one word that says what was done, or what may follow: what one function returns, explained where it stands.
RESULTS = """
    Asked Checked Compared Copied Counted Differs Done Follow Go Held Moved Opened Populated Prepared Present Queued Rebuilt
    Recorded Refused Reread Restored Retry Seen Shown Shrunk Spent Stalled Tagged Told Undecided Unknown Unread Verified Wait
    Waiting Wanted Written Unavailable
    """

_TWINS = "one for each API or engine, behind one interface"
_SIMULATED = "ours, and the simulators', which know nothing of ours"
_STAND_IN = "ours, and what stands in for it in a test"

#: Name → why two classes may have it.
TWICE = {
    "Access": "how Zoho is called, and how a cluster is reached: each in the module of its client",
    "Account": _SIMULATED,
    "Act": "what somebody does at an API, and the same as an oracle is given it",
    "Answer": _SIMULATED,
    "Api": "what the sandbox's kernel asks of a simulator; in tests, an API that stands in for one",
    "Application": _SIMULATED,
    "Books": _STAND_IN,
    "Brokers": "connections to brokers, and brokers for tests",
    "Call": _SIMULATED,
    "Client": _TWINS,
    "Clock": _STAND_IN,
    "Company": "all that is drawn for a connection, and in tests a connection with its rules",
    "Consumer": _TWINS,
    "Control": "what a cluster says of a log, and in tests what is posted to the sandbox",
    "Contact": "a row of the state, what the check reads, and the simulators'",
    "Currency": _SIMULATED,
    "Done": "an answer that ends a command, and what was done to topics",
    "Endpoint": "of each simulator",
    "Entry": _SIMULATED,
    "ExpenseLine": _SIMULATED,
    "Facts": "what the check read, and what a batch adds to the store",
    "GoCardless": "its settings, the simulator, and a stand-in",
    "Held": "what the store holds for the check, and a lease that another holds",
    "History": "of a document, and what a bench fills a store with",
    "Identity": "a producer's at the brokers, a payer's at GoCardless, and the simulators'",
    "Installation": "with Faust and without: two levels that tests stand on",
    "Invoice": _SIMULATED,
    "Ledger": "of each simulator",
    "Limits": "what an API allows, what a log allows, and the simulators'",
    "Line": _SIMULATED,
    "Member": _STAND_IN,
    "Moment": "of a simulation's plan; in tests, when a month changes versions, and when a process is killed",
    "Moved": "where a log's records are now, and what a move did",
    "Organization": _SIMULATED,
    "Pair": "a partition and what it becomes, and two assertions in a test",
    "Payer": _SIMULATED,
    "Payment": _SIMULATED,
    "PaymentRow": _TWINS,
    "Person": "the operator of a simulated installation, and who edits the simulated Zoho Books by hand",
    "Plan": "of a cluster's topics, and of a run of the simulation",
    "Place": "where a record lies, and a topic's place in a test",
    "Process": "in tests, a process that reads the clock, and one that takes leases",
    "Progress": "how far a partition is, and what a test counts",
    "Record": _SIMULATED,
    "Refusal": "a broker's, an API's of our credentials, and the simulators'",
    "Reply": "what a command prints, what an application of the sandbox answers, and a stand-in",
    "Row": "base of the state's rows, and of the rows of an API's wire",
    "Seen": "how many there are, what `events` shows, and what a test has seen",
    "Server": "in tests, a server of an API, and one of PostgreSQL",
    "Settings": "ours, and the simulators'",
    "Shop": "in tests, a company at each simulator",
    "Shown": "what the demo shows of a currency, and what a test shows",
    "Side": "an API of a connection in the simulation, and a log as a test of the move sees it",
    "Simulator": "Zoho Books simulated, and one scenario of GoCardless's",
    "Step": "of a trail, and of a Dockerfile",
    "Store": _STAND_IN,
    "Tax": _SIMULATED,
    "Terminal": "in tests, one that a person types into, and a shell that runs a page",
    "Transport": _TWINS,
    "VirtualLoop": _STAND_IN,
    "Watch": "over the handlers of a process, and in a test real time moved by hand",
    "Wire": "an answer of the simulators, and the wire in a test of them",
    "WireError": _TWINS,
    "Zoho": "its settings, and a stand-in",
}


@cache
def classes(rooms):
    """Name → files, of every class that is not private to its module."""
    found = defaultdict(list)
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def singular(word):
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) else word


def heads(name):
    """What a name could be explained by: its last word, and its last two, without what the thing is or was."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)]
    while len(words) > 1 and words[-1] in FORMS.split():
        words.pop()
    return singular(words[-1]), " ".join([*words[-2:-1], singular(words[-1])])


@pytest.fixture(scope="module")
def glossary(document):
    """(word, meaning, also) of every row."""
    rows = [line for line in document("docs/glossary.md").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row[1:-1].split("|")] for row in rows]
    return [row for row in cells if row[0] != "word"]


@pytest.fixture(scope="module")
def words(glossary):
    also = [re.sub(r"\(.*\)", "", one) for _, _, cell in glossary for one in cell.split(",")]
    found = [word.strip().lower().replace("-", " ") for word in [*(word for word, _, _ in glossary), *also]]
    return {singular(word) for word in found if word}


def plain():
    return [word for listed in PLAIN.values() for word in listed.split()]


def test_every_word_has_one_meaning(glossary):
    assert len(glossary) > 150
    assert [word for word, count in Counter(word for word, _, _ in glossary).items() if count > 1] == []
    assert all(meaning for _, meaning, _ in glossary)
    assert [word for word in plain() if word in {word.lower() for word, _, _ in glossary}] == []


def test_the_words_of_a_table_are_in_order(document):
    for table in document("docs/glossary.md").split("## ")[1:]:
        shown = [line.split("|")[1].strip().lower() for line in table.splitlines() if line.startswith("| ")][1:]
        assert shown == sorted(shown), table.splitlines()[0]


def test_every_class_is_named_by_a_word_of_the_glossary(words):
    unknown = {
        name: files[0]
        for name, files in classes(PRODUCT).items()
        if name not in RESULTS.split() and not {*heads(name)} & {*words, *plain()}
    }
    assert unknown == {}, "add the word to docs/glossary.md, or name the class by one that is there"


def test_no_name_stands_for_two_classes_without_a_reason():
    twice = {name: files for name, files in classes((*PRODUCT, *OTHERS)).items() if len(set(files)) > 1}
    assert {name: files for name, files in twice.items() if name not in TWICE} == {}
    assert set(TWICE) - set(twice) == set(), "no longer used twice: take these out of TWICE"


def test_nothing_is_exempt_that_need_not_be(words):
    names = classes(PRODUCT)
    used = {heads(name)[0] for name in names if name not in RESULTS.split()}
    assert set(plain()) - used == set(), "no class is named by these: take them out of PLAIN"
    assert set(plain()) & words == set(), "these stand in the glossary: take them out of PLAIN"
    assert set(RESULTS.split()) - set(names) == set(), "no such class: take these out of RESULTS"
    ends = {word.lower() for name in names for word in re.findall(r"[A-Z][a-z]*", name)[1:]}
    assert ends >= set(FORMS.split()), "no name ends in these: take them out of FORMS"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("InvoiceFacts", "fact"),
        ("MatchApproved", "match"),
        ("LogFull", "log"),
        ("SqliteLog", "log"),
        ("Queries", "query"),
    ],
)
def test_the_head_of_a_name(name, head):
    assert heads(name)[0] == head

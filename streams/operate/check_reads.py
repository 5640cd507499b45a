"""The reads of the first-run check: whole lists of both APIs as plain rows, and what keeps them from being read as
findings.

One code is one finding, however many reads it spoils; an API that cannot be reached, or does not accept us, is not
asked again.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from adapters.errors import AdapterError, TransportError
from adapters.gocardless import pages as gocardless_pages
from adapters.gocardless import wire as gocardless_wire
from adapters.senders import Send
from adapters.verdicts import Answer, Call, Done
from adapters.zoho import codes as zoho_codes
from adapters.zoho import pages as zoho_pages
from adapters.zoho import wire as zoho_wire
from domain.errors import DomainError
from domain.events import Finding
from domain.vocabulary import API_NAMES, Api

#: Real seconds for one read. Lower: Zoho's slow lists are cut off. Higher: the person who runs the check waits for a
#: dead API.
_DEADLINE_S: Final = 30.0

#: Pages of one list. Lower: a chart of accounts of thousands is not seen to its end. Higher: one check spends a large
#: part of the quota.
MAX_PAGES: Final = 20

Row = dict[str, Any]

_decode: Final = msgspec.json.Decoder(Row, float_hook=str).decode


class Findings:
    """What the check finds, in order; a code that is found again adds to its text."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, code: str, level: str, text: str, count: int = 0) -> None:
        """One finding. `level` "ok", "decide" or "stop"; `code` of a-z, 0-9 and "_"."""
        held = self._found.get(code)
        if held is None:
            self._found[code] = Finding(code, level, text, count)
        elif text not in held.text:
            self._found[code] = Finding(code, level, f"{held.text} {text}", held.count + count)

    @property
    def all(self) -> list[Finding]:
        """Every finding, in the order of first appearance."""
        return list(self._found.values())


class Rows(list[Row]):
    """A list that was read; `cut`: it goes on beyond the pages that were asked for. `context`: Zoho's `page_context` of
    the first page.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut = False
        self.context: Row = {}


class Reader:
    """Reads lists. None: it could not be read, and a finding that stops says why."""

    def __init__(self, sends: Mapping[Api, Send], findings: Findings) -> None:
        self._sends = sends
        self._findings = findings
        self._closed: set[Api] = set()

    async def gocardless(self, name: str, **query: str) -> Rows | None:
        """All rows of a list of GoCardless."""
        found = Rows()
        call: Call | None = Call("GET", f"/{name}", {"limit": str(gocardless_pages.PER_PAGE), **query})
        while call is not None:
            answer = await self._send("gocardless", call)
            if answer is None or not self._taken(name, answer):
                return None
            try:
                page = gocardless_wire.page(answer.body, name)
                found.extend(_decode(raw) for raw in page.rows)
            except (DomainError, msgspec.DecodeError, UnicodeDecodeError):
                self._unreadable("gocardless", name)
                return None
            call = gocardless_pages.following(call, page, most_pages=MAX_PAGES)
            found.cut = call is None and bool(page.after)
        return found

    def _taken(self, name: str, answer: Answer) -> bool:
        if answer.status == 200:
            return True
        problem = gocardless_wire.problem(answer.body)
        said = problem.message or problem.reason if problem is not None else str(answer.status)
        if answer.status == 401:
            self._stop(
                "gocardless", "credentials", f"GoCardless does not accept the access token ({said}): enter it again."
            )
        elif answer.status == 429:
            self._stop("gocardless", "busy", "GoCardless is asked too often just now: check again in a minute.")
        elif answer.status >= 500 or problem is None:
            self._stop(
                "gocardless", "unreachable", f"GoCardless answered {answer.status} to {name}: check again later."
            )
        else:
            text = f"GoCardless refuses to show {name} ({said}): give the access token the right to read it."
            self._findings.add(f"gocardless_refused_{name}", "stop", text)
        return False

    async def zoho(self, path: str, most_pages: int = MAX_PAGES, **query: str) -> Rows | None:
        """The rows of a list of Zoho Books, which stand under the last part of its path."""
        name = path.rsplit("/", 1)[-1]
        found = Rows()
        page = 1
        while True:
            call = zoho_pages.page_call(Call("GET", path, {"per_page": str(zoho_pages.PER_PAGE), **query}), page)
            answer = await self._send("zoho", call)
            if answer is None:
                return None
            body = zoho_codes.examine(answer, writes=False)
            if not isinstance(body, zoho_wire.Body):
                self._said_no(name, body if isinstance(body, Done) else None, answer)
                return None
            try:
                raws = body.rows(name)
                found.extend(_decode(raw) for raw in raws)
                if page == 1:
                    found.context = _decode(body.fields.get("page_context", b"{}"))
            except (DomainError, msgspec.DecodeError, UnicodeDecodeError):
                self._unreadable("zoho", name)
                return None
            if not raws or not body.has_more(len(raws), zoho_pages.PER_PAGE):
                return found
            if page >= most_pages:
                found.cut = True
                return found
            page += 1

    def _said_no(self, name: str, refused: Done | None, answer: Answer) -> None:
        if refused is not None:
            text = (
                f"Zoho Books refuses to show {name} (code {refused.reason}: {refused.message}): check the user's"
                " rights."
            )
            self._findings.add(f"zoho_refused_{name}", "stop", text)
        elif answer.status == 401:
            self._stop("zoho", "credentials", "Zoho Books does not accept the consent given: connect it again.")
        elif answer.status == 429:
            self._stop(
                "zoho",
                "busy",
                "Zoho Books is asked too often just now: check again in a minute, or tomorrow when the day is spent.",
            )
        else:
            self._stop("zoho", "unreachable", f"Zoho Books answered {answer.status} to {name}: check again later.")

    async def _send(self, api: Api, call: Call) -> Answer | None:
        if api in self._closed:
            return None
        try:
            return await self._sends[api](call, _DEADLINE_S)
        except TransportError as error:
            self._stop(
                api,
                "unreachable",
                f"{API_NAMES[api]} cannot be reached ({error.reason}): check the network, then again.",
            )
        except AdapterError as error:
            self._stop(api, "credentials", f"{API_NAMES[api]}: {error}.")
        return None

    def _unreadable(self, api: Api, name: str) -> None:
        self._findings.add(
            f"{api}_unreadable_{name}", "stop", f"{API_NAMES[api]} shows {name} in a form that is not documented."
        )

    def _stop(self, api: Api, what: str, text: str) -> None:
        self._closed.add(api)
        self._findings.add(f"{api}_{what}", "stop", text)

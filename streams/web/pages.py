"""What people look at: one page that says how every connection stands and what waits for a person. Read only.

It shows document numbers and amounts, no names and no bank details; nobody logs in, so it is served to a network that
may see them (`[gateway] host`), or behind a proxy that asks who is there.
"""

import asyncio
from collections.abc import Iterable
from html import escape
from typing import Final

from aiohttp import web

from domain import times
from projections.queries import Queries, in_words
from projections.store.errors import StoreError
from projections.store.store import Store
from projections.work.halts import Halts

#: Discrepancies of one connection on the page. Lower: a person sees less of what waits. Higher: a bad day makes a page
#: of megabytes.
_SHOWN: Final = 200

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 2rem auto; max-width: 70rem;
    padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem }
dt { font-weight: 600; float: left; width: 9rem } dd { margin: 0 0 .2rem 9rem }
table { border-collapse: collapse; width: 100%; margin-top: .6rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d8dee4 }
.waits { color: #8a4600 } .well { color: #116329 }
"""
_COLUMNS: Final = "<tr><th>since</th><th>code</th><th>what</th><th>what to do</th></tr>"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Web:
    """The page, made from the store at each look."""

    def __init__(self, store: Store, connections: Iterable[str]) -> None:
        self._queries = Queries(store)
        self._halts = Halts(store)
        self._connections = sorted(connections)

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/", self._page)]

    async def _page(self, request: web.Request) -> web.Response:
        del request
        try:
            text, status = await asyncio.to_thread(self._made), 200
        except StoreError as error:
            text, status = (
                _document(f"<p class='waits'>The store cannot be read just now: {escape(error.what)}.</p>"),
                503,
            )
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)

    def _made(self) -> str:
        aside = {one.connection: f"set aside since {one.frozen_at}: {one.reason}" for one in self._halts.set_aside()}
        behind: dict[str, list[str]] = {}
        for one in self._halts.catch_ups():
            behind.setdefault(one.connection, []).append(f"{one.api} is read to its head first ({one.reason})")
        sections = [self._section(name, aside.get(name, ""), behind.get(name, [])) for name in self._connections]
        return _document("".join(sections) or "<p>No connection in the settings.</p>")

    def _section(self, name: str, aside: str, behind: list[str]) -> str:
        found = self._queries.status(name)
        opened = self._queries.discrepancies(name, limit=_SHOWN + 1)
        waits = [aside] if aside else []
        if found.connection.gate != "open":
            waits.append(f"the gate is closed: run zoho-gocardless check {name}")
        waits += behind
        facts = [
            ("invoices", in_words(found.invoices)),
            ("payments", in_words(found.payments)),
            ("payouts", in_words(found.payouts)),
        ]
        facts += [(f"calls to {api}", in_words(states)) for api, states in found.commands_by_api().items()]
        lines = "".join(f"<dt>{escape(what)}</dt><dd>{escape(said)}</dd>" for what, said in facts)
        told = "".join(f"<p class='waits'>{escape(one)}</p>" for one in waits)
        rows = "".join(
            f"<tr><td>{escape(times.to_minute(row.opened_at))}</td><td>{escape(row.code)}</td>"
            f"<td>{escape(row.text)}</td><td>{escape(row.remedy)}</td></tr>"
            for row in opened[:_SHOWN]
        )
        table = "<p class='well'>Nothing waits for a person.</p>" if not rows and not waits else ""
        if rows:
            more = f"<p>Only the oldest {_SHOWN} are shown.</p>" if len(opened) > _SHOWN else ""
            table = f"<table><thead>{_COLUMNS}</thead><tbody>{rows}</tbody></table>{more}"
        return f"<section><h2>{escape(name)}</h2><dl>{lines}</dl>{told}{table}</section>"


def _document(body: str) -> str:
    head = f"<meta charset='utf-8'><title>zoho-gocardless</title><style>{_STYLE}</style>"
    body = f"<h1>How every connection stands</h1>{body}"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>\n"

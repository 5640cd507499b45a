"""PostgreSQL that is not there, goes away, comes back: each named, nothing told that must not be, and nothing written
twice.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from domain.state import Payment
from projections.state.batch import OwnedPartition, take
from projections.store.databases import engine_of
from projections.store.errors import StoreError, StoreFenced, StoreUnavailable
from projections.store.store import Store, open_store
from tests.support import batch_records as make
from tests.support import postgres_servers
from tests.support.servers_found import Missing


def _fold(own: OwnedPartition, count: int = 1) -> None:
    with own.batch(own.position) as batch:
        events = [(offset, make.event(offset)) for offset in range(own.position, own.position + count)]
        batch.prepare([event for _, event in events])
        for offset, event in events:
            if batch.known(event):
                continue
            batch.state("acme").payments[event.data.id] = Payment(event.data.id)
            batch.record(offset, event, make.decision(event, commands=(make.command(f"cm-{offset}"),)))
        batch.commit(own.position + count)


def _end_all(url: str) -> None:
    """As an operator, or a failover, ends every connection."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


# --- at the start ---


@pytest.fixture(scope="module")
def own_server() -> Iterator[postgres_servers.Server]:
    """A server to be killed, with a user who needs a password."""
    try:
        server = postgres_servers.Server.start()
    except Missing as missing:
        pytest.skip(f"no PostgreSQL to be killed here: {missing}")
    with server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE ROLE careful LOGIN PASSWORD 'right-one'")
            rules = server.folder / "data" / "pg_hba.conf"
            rules.write_text(f"host all careful 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            admin.execute("SELECT pg_reload_conf()")
        yield server


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        ({"port": 1}, StoreUnavailable, "nothing listens"),
        ({"host": "nowhere.invalid"}, StoreUnavailable, "name of the server"),
        ({"database": "nope"}, StoreError, "no database of this name"),
        ({"username": "nobody"}, StoreError, "does not know the user"),
        ({"username": "careful", "password": "hunter2"}, StoreError, "user or the password"),
        ({"username": "careful", "password": None}, StoreError, "wants a password"),
    ],
)
def test_a_server_that_cannot_be_used_is_named(
    own_server, change: dict[str, Any], kind: type[StoreError], what: str
) -> None:
    address = sa.make_url(own_server.url("postgres")).set(password="hunter2")
    changed = URL.create(**{**address._asdict(), **change})
    with pytest.raises(StoreError) as caught:
        open_store(changed.render_as_string(hide_password=False))
    assert type(caught.value) is kind
    assert what in caught.value.what
    assert str(changed.port) in caught.value.where
    assert "store" in caught.value.remedy or "server" in caught.value.remedy
    for told in (str(caught.value), repr(caught.value)):
        assert "hunter2" not in told
    assert caught.value.__suppress_context__


def test_a_password_in_the_options_of_an_address_is_not_shown() -> None:
    database = engine_of(
        "postgresql:///books?host=a.example:5432&host=b.example:5433&user=finance&password=hunter2&sslpassword=hunter3"
    )
    database.engine.dispose()
    assert "hunter" not in database.where
    assert "a.example" in database.where


def test_a_standby_that_takes_no_writes_is_unavailable(postgres_url: str) -> None:
    open_store(postgres_url).close()
    name = sa.make_url(postgres_url).database
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(StoreUnavailable, match=r"takes writes|ReadOnly"):
        open_store(postgres_url)


# --- in the middle ---


def test_the_next_call_after_every_connection_was_ended_works(stored_url: str) -> None:
    with open_store(stored_url) as store:
        own = take(store, "core", "events", 0)
        _fold(own)
        _end_all(stored_url)
        _fold(own)
        _end_all(stored_url)
        assert store.get_meta("generation") == store.generation
        assert take(store, "core", "events", 0).position == 2


def test_a_connection_that_is_ended_within_a_batch_loses_the_batch_only(
    stored_url: str, rows_of: Callable[[Store], int]
) -> None:
    with open_store(stored_url) as store:
        own = take(store, "core", "events", 0)
        _fold(own)
        with own.batch(1) as batch:
            batch.state("acme").payments["PM1"] = Payment("PM1")
            batch.record(1, make.event(1))
            _end_all(stored_url)
            with pytest.raises(StoreUnavailable) as caught:
                batch.commit(2)
        assert caught.value.retriable
        assert (own.position, own.states, rows_of(store)) == (1, {}, 1)
        _fold(own, 2)
        assert rows_of(store) == 3


@pytest.fixture
def rows_of() -> Callable[[Store], int]:
    def count(store: Store) -> int:
        with store.read() as reader:
            return int(reader.exec_driver_sql("SELECT count(*) FROM event_ids").scalar() or 0)

    return count


def test_a_server_that_is_killed_and_comes_back(own_server, rows_of) -> None:
    url = own_server.create()
    with open_store(url) as store:
        own = take(store, "core", "events", 0)
        _fold(own, 3)
        own_server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                _fold(own)
            assert str(own_server.port) in caught.value.where
            assert caught.value.remedy
        with pytest.raises(StoreUnavailable):
            store.get_meta("generation")
        own_server.up()
        assert rows_of(store) == 3
        _fold(own)
        assert (own.position, rows_of(store)) == (4, 4)


def test_a_process_that_was_stopped_in_a_write_is_cut_off_for_its_successor(
    stored_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.store.databases._IDLE_MS", 300)
    with open_store(stored_url) as paused, open_store(stored_url) as successor:
        own = take(paused, "core", "events", 0)

        def stopped_for_a_while() -> None:
            with paused.write() as writing:
                paused.set_meta(writing, "fact", "half")
                writing.exec_driver_sql("UPDATE positions SET next_offset = 9")
                # The successor waits for the row until the server gives up on the other.
                taken.append(take(successor, "core", "events", 0))
                paused.set_meta(writing, "fact", "whole")

        taken: list[OwnedPartition] = []
        with pytest.raises(StoreUnavailable, match=r"Idle|lost"):
            stopped_for_a_while()
        assert (taken[0].position, taken[0].epoch, successor.get_meta("fact")) == (0, own.epoch + 1, "")
        with pytest.raises(StoreFenced):
            _fold(own)


class CommitCut:
    """Forwards to a server and cuts the connection at the next COMMIT, before or after the server has it; then it is
    transparent.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._cut = ""
        self._committed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def at_next_commit(self, when: str) -> None:
        self._cut = when

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            while said := client.recv(65_536):
                if self._cut and b"COMMIT\x00" in said:
                    when, self._cut = self._cut, ""
                    client.shutdown(socket.SHUT_WR)  # before the answer can pass
                    if when == "after":
                        server.sendall(said)
                        self._committed.wait(5)
                    server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(said)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := server.recv(65_536):
                if b"COMMIT\x00" in said:
                    self._committed.set()
                client.sendall(said)


@pytest.fixture
def cut(stored_url: str) -> Iterator[tuple[str, CommitCut]]:
    parsed = sa.make_url(stored_url)
    between = CommitCut(parsed.host or "127.0.0.1", parsed.port or 5432)
    yield parsed.set(host="127.0.0.1", port=between.port).render_as_string(hide_password=False), between
    between.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_answer_was_lost_is_told_by_the_compare_and_set(cut, when: str, rows_of) -> None:
    url, between = cut
    with open_store(url) as store:
        own = take(store, "core", "events", 0)
        _fold(own, 2)
        between.at_next_commit(when)
        with pytest.raises(StoreUnavailable):
            _fold(own, 2)
        if when == "after":
            with pytest.raises(StoreFenced):
                _fold(own, 2)
            own = take(store, "core", "events", 0)
            assert own.position == 4
        while own.position < 6:
            _fold(own, 2)
        assert rows_of(store) == 6

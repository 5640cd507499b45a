"""`sandbox tick`, `invoice` and `payer` beside a running sandbox: what they do there, how they find it, how they fail."""

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import click
import pytest
from aiohttp import web
from click.testing import CliRunner

from adapters.sandbox_clock import SandboxClock
from sandbox.server import SandboxConfig, running_sandbox
from streams.cli import main, sandbox_address, sandbox_tick
from streams.cli.command_group import CommandGroup
from streams.cli.sandbox_address import SandboxAddresses, last, noted

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No other sandbox of this user, and no settings."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("ZOHO_GOCARDLESS_CONFIG", raising=False)


@asynccontextmanager
async def sandbox(**more):
    async with running_sandbox(SandboxConfig(start=START, seed=7, **more)) as running:
        with noted(running.gocardless_url, running.zoho_url):
            yield running


async def text(*words, code=0):
    done = await asyncio.to_thread(CliRunner().invoke, main, ["sandbox", *words])
    assert done.exit_code == code, (done.exit_code, done.output, done.exception)
    return done.stdout if code == 0 else done.stderr


async def data(*words, code=0):
    done = await asyncio.to_thread(CliRunner().invoke, main, ["sandbox", *words, "--json"])
    assert done.exit_code == code, (done.exit_code, done.output, done.exception)
    envelope = json.loads(done.stdout)
    assert envelope["command"] == f"sandbox {words[0]}"
    return envelope["data"] if code == 0 else envelope["error"]


# --- tick ---


@pytest.mark.parametrize(
    ("words", "now"),
    [
        ((), "2026-03-03T09:00:00.000Z"),
        (("--days", "3"), "2026-03-05T09:00:00.000Z"),
        (("--days", "0.5"), "2026-03-02T21:00:00.000Z"),
        (("--hours", "2"), "2026-03-02T11:00:00.000Z"),
        (("--to", "2026-03-09T12:00:00Z"), "2026-03-09T12:00:00.000Z"),
    ],
)
async def test_a_tick_moves_time_as_far_as_it_says(words, now):
    async with sandbox() as running:
        told = await data("tick", *words)
        assert told == {"from": "2026-03-02T09:00:00.000Z", "now": now, "waited_for": []}
        assert running.world.now.isoformat(timespec="milliseconds").replace("+00:00", "Z") == now


async def test_a_tick_is_told_in_words():
    async with sandbox():
        assert await text("tick") == "It is 2026-03-03T09:00:00.000Z, and was 2026-03-02T09:00:00.000Z.\n"


async def test_a_tick_waits_for_the_program_that_takes_part():
    async with sandbox() as running:
        clock = SandboxClock(running.gocardless_url)
        await clock.start(lambda: True)
        woken = []

        async def works():
            for _ in range(3):
                await clock.sleep(3600)
                woken.append(clock.now())

        task = asyncio.create_task(works())
        told = await data("tick", "--hours", "5")
        assert told["waited_for"] == ["program"]
        assert await text("tick", "--hours", "1") == (
            "It is 2026-03-02T15:00:00.000Z, and was 2026-03-02T14:00:00.000Z; program took part.\n"
        )
        await task
        assert woken == [f"2026-03-02T{hour}:00:00.000Z" for hour in (10, 11, 12)]
        await clock.close()


async def test_a_program_that_has_ended_is_named_and_can_be_passed_over(monkeypatch):
    async with sandbox() as running:
        clock = SandboxClock(running.gocardless_url)
        await clock.start(lambda: True)
        await asyncio.sleep(0.1)
        await clock.close()
        told = await data("tick", code=69)
        assert told["code"] == "unavailable"
        assert told["what"] == "time stands still at 2026-03-02T09:00:00.000Z: program has ended"
        assert "--alone" in told["remedy"]
        # No target is left behind.
        assert running.barrier.idle
        await clock.close()
        assert (await data("tick", "--alone"))["now"] == "2026-03-03T09:00:00.000Z"


async def test_a_program_that_never_rests_is_named(monkeypatch):
    monkeypatch.setattr(sandbox_tick, "_STUCK_S", 0.5)
    async with sandbox() as running:
        clock = SandboxClock(running.gocardless_url)
        await clock.start(lambda: False)
        assert "program does not come to rest" in await text("tick", code=69)
        await clock.close()


async def test_flowing_time_is_not_moved():
    async with sandbox(speed=1440.0):
        told = await data("tick", code=69)
        assert told["what"] == "time flows by itself there (1440 simulated seconds a second)"
        assert "/_sandbox/clock/pause" in told["remedy"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tick", "--days", "1", "--hours", "1"), "exclude each other"),
        (("tick", "--days", "0"), "--days"),
        (("tick", "--to", "tomorrow"), "--to"),
        (("tick", "--to", "2026-03-02T09:00:00Z"), "--to must lie after simulated time, which is 2026-03-02T09"),
        (("invoice",), "--amount"),
        (("invoice", "--amount", "much"), "not a number"),
        (("invoice", "--amount", "1.234"), "two decimal places"),
        (("invoice", "--amount", "-5"), "above zero"),
        (("invoice", "--amount", "nan"), "above zero"),
        (("invoice", "--amount", "5", "--due", "soon"), "--due"),
        (("payer",), "--email"),
        (("payer", "--email", "a@example.com", "--currency", "CHF"), "--currency"),
        (("payer", "--email", "a@example.com", "--mandate", "maybe"), "--mandate"),
        (("tick", "--at", "localhost:8101"), "begins with http://"),
    ],
)
async def test_what_cannot_be_meant_is_told_as_usage(words, says):
    async with sandbox():
        told = await text(*words, code=2)
        assert told.startswith("error[usage]: ")
        assert says in told
        assert told.count("\n") == 1


async def test_a_simulator_that_fails_is_told():
    def broken():
        raise ZeroDivisionError("a payout of nothing")

    async with sandbox() as running:
        running.world.at(START, broken)
        told = await data("tick", code=69)
        assert told["what"].startswith("the sandbox has failed: ")
        assert "a payout of nothing" in told["what"]


# --- payer and invoice ---


async def test_a_payer_is_a_customer_in_the_books_and_at_gocardless():
    async with sandbox() as running:
        told = await data("payer", "--email", "ada.archer@example.com")
        state = await state_of(running)
        (contact,) = state["zoho"]["contacts"]
        assert (contact["name"], contact["email"], contact["currency_code"]) == (
            "Ada Archer",
            "ada.archer@example.com",
            "GBP",
        )
        (customer,) = state["gocardless"]["resources"]["customers"]
        assert customer["email"] == "ada.archer@example.com"
        (mandate,) = state["gocardless"]["resources"]["mandates"]
        assert told == {
            "email": "ada.archer@example.com",
            "contact": contact["contact_id"],
            "customer": customer["id"],
            "mandate": mandate["id"],
            "mandate_status": "active",
        }
        assert mandate["status"] == "active"


@pytest.mark.parametrize(("mandate", "status"), [("active", "active"), ("pending", "pending_submission")])
async def test_a_mandate_is_as_it_is_wanted(mandate, status):
    async with sandbox() as running:
        said = await text("payer", "--email", "b@example.com", "--currency", "EUR", "--mandate", mandate)
        (made,) = (await state_of(running))["gocardless"]["resources"]["mandates"]
        assert (made["scheme"], made["status"]) == ("sepa_core", status)
        assert said.endswith(f"with mandate {made['id']} ({status}).\n")


async def test_a_payer_without_a_mandate_and_a_contact_who_is_there_already():
    async with sandbox() as running:
        said = await text("payer", "--email", "C@example.com", "--mandate", "none")
        assert said.endswith("with no mandate.\n")
        await text("payer", "--email", "c@example.com")
        state = await state_of(running)
        assert len(state["zoho"]["contacts"]) == 1
        assert len(state["gocardless"]["resources"]["customers"]) == 2
        assert len(state["gocardless"]["resources"]["mandates"]) == 1


async def test_a_payer_in_a_currency_that_the_books_do_not_know_is_refused_before_anything_is_made():
    async with sandbox() as running:
        told = await data("payer", "--email", "d@example.com", "--currency", "SEK", code=73)
        assert (told["code"], "currency_code" in told["what"]) == ("cannot_create", True)
        assert (await state_of(running))["gocardless"]["resources"]["customers"] == []


async def test_an_invoice_is_written_and_sent():
    async with sandbox() as running:
        await text("payer", "--email", "ada@example.com")
        told = await data("invoice", "--amount", "120.5", "--due", "2026-03-20")
        assert await text("invoice", "--amount", "80", "--contact", "ADA@example.com") == (
            "INV-000002: 80 GBP from Ada, due on 2026-03-02.\n"
        )
        first, second = sorted((await state_of(running))["zoho"]["invoices"], key=lambda one: one["invoice_number"])
        assert told == {
            "invoice": first["invoice_id"],
            "invoice_number": first["invoice_number"],
            "contact": first["customer_id"],
            "currency": "GBP",
            "due": "2026-03-20",
            "amount_minor": 12_050,
        }
        assert (first["status"], first["total_minor"], first["due_date"]) == ("sent", 12_050, "2026-03-20")
        assert (second["total_minor"], second["due_date"]) == (8_000, "2026-03-02")


async def test_who_is_meant_must_be_clear():
    async with sandbox():
        told = await data("invoice", "--amount", "5", code=5)
        assert told["what"] == "the books have no customer"
        await text("payer", "--email", "ada@example.com")
        await text("payer", "--email", "ben@example.com")
        told = await data("invoice", "--amount", "5", code=5)
        assert (told["what"], told["remedy"]) == (
            "the books have several customers",
            "say with --contact who is meant: ada@example.com, ben@example.com",
        )
        told = await data("invoice", "--amount", "5", "--contact", "eve", code=5)
        assert told["what"] == "no customer 'eve' in the books"
        assert (await data("invoice", "--amount", "5", "--contact", "Ben"))["currency"] == "GBP"


async def state_of(running):
    async with aiohttp.ClientSession() as http, http.get(f"{running.gocardless_url}/_sandbox/state") as answer:
        return await answer.json()


# --- where it is ---


@pytest.mark.parametrize("words", [("tick",), ("payer", "--email", "a@example.com"), ("invoice", "--amount", "5")])
async def test_without_a_sandbox_it_is_said_what_where_and_what_to_do(words):
    told = await data(*words, code=69)
    assert (told["code"], told["what"]) == ("unavailable", "no sandbox runs that you have started")
    assert "zoho-gocardless sandbox" in told["remedy"]
    told = await data(*words, "--at", "http://127.0.0.1:9", code=69)
    assert (told["what"], told["where"]) == ("no sandbox answers (refused)", "http://127.0.0.1:9")
    assert "--at" in told["remedy"]


async def nothing(_request):
    return web.Response(status=404)


async def html(_request):
    return web.Response(text="<html>")


async def older(_request):
    return web.json_response({"now": "2026-03-02T09:00:00.000000Z", "activity": 0, "target": None, "idle": True})


@pytest.mark.parametrize(("answer", "status"), [(nothing, 404), (html, 200), (older, 200)])
async def test_whoever_else_answers_there_is_not_taken_for_the_sandbox(answer, status):
    app = web.Application()
    app.router.add_get("/_sandbox/clock", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told = await data("tick", "--at", f"http://127.0.0.1:{runner.addresses[0][1]}", code=69)
    await runner.cleanup()
    assert told["what"] == f"what answers ({status}) is not the sandbox, or an older one"


async def test_either_address_will_do_and_the_settings_come_before_the_last_one_started(tmp_path, monkeypatch):
    async with sandbox() as first, running_sandbox(SandboxConfig(start=START)) as second:
        for url in (first.gocardless_url, f"{first.zoho_url}/"):
            await data("payer", "--email", "a@example.com", "--at", url)
            await data("tick", "--hours", "1", "--at", url)
        settings = tmp_path / "settings.toml"
        settings.write_text(f'log = "sqlite:////l"\nstore = "sqlite:////s"\nclock = "{second.zoho_url}"\n')
        monkeypatch.setenv("ZOHO_GOCARDLESS_CONFIG", str(settings))
        await data("tick", "--days", "1")
        assert (first.world.now.day, second.world.now.day) == (2, 3)
        settings.write_text('log = "sqlite:////l"\nstore = "sqlite:////s"\n')
        await data("tick", "--days", "2")
        assert (first.world.now.day, second.world.now.day) == (4, 3)
        settings.write_text("log = 1")
        assert (await data("tick", code=3))["code"] == "settings"


async def test_the_sandbox_that_is_started_is_found_until_it_stops():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "sandbox", "--start", "2026-03-02T09:00:00Z"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    running = last()
    assert running is not None
    assert line == f"GoCardless at {running.gocardless}, Zoho Books at {running.zoho}. Ctrl-C stops it.\n"
    assert running.process == process.pid
    assert (await data("tick"))["now"] == "2026-03-03T09:00:00.000Z"
    process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out) == (0, b"Stopped.\n")
    assert last() is None


def test_a_later_sandbox_keeps_its_file_when_an_earlier_one_stops(monkeypatch):
    with noted("http://one", "http://one"):
        monkeypatch.setattr(sandbox_address.os, "getpid", lambda: 1)
        sandbox_address._write(SandboxAddresses("http://two", "http://two", 2))
    assert last() == SandboxAddresses("http://two", "http://two", 2)


def test_a_file_of_somebody_else_or_of_another_kind_is_not_read(tmp_path, monkeypatch):
    file = sandbox_address._file()
    file.write_text("not JSON")
    assert last() is None
    file.unlink()
    (tmp_path / "elsewhere").write_text('{"gocardless":"http://evil","zoho":"http://evil","process":1}')
    file.symlink_to(tmp_path / "elsewhere")
    assert last() is None
    with noted("http://one", "http://one"):
        assert last() is not None
        assert "evil" in (tmp_path / "elsewhere").read_text(), "the link was replaced, not followed"
        monkeypatch.setattr(sandbox_address, "_user", lambda: 0 if sandbox_address.os.getuid() else 1)
        file.rename(sandbox_address._file())
        assert last() is None


def test_where_no_file_can_be_left_it_goes_without(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    with noted("http://one", "http://one"):
        assert last() is None


# --- one command, and commands below it ---


def test_every_option_of_the_sandbox_itself_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    group = main.get_command(click.Context(main), "sandbox")
    assert isinstance(group, CommandGroup)
    for parameter in group.params:
        assert f"`{parameter.opts[0]}" in page, parameter.opts


def test_the_sandbox_itself_and_what_is_below_it_have_one_help():
    shown = CliRunner().invoke(main, ["sandbox", "--help"])
    assert shown.exit_code == 0
    for word in ("--gocardless-port", "--speed", "tick", "invoice", "payer"):
        assert word in shown.stdout


@pytest.mark.parametrize("words", [["--seed", "1", "tick"], ["--json", "payer", "--email", "a@example.com"]])
def test_an_option_of_the_sandbox_itself_stands_alone(words):
    done = CliRunner().invoke(main, ["sandbox", *words])
    assert done.exit_code == 2
    assert f"{words[0]} stands before {'tick' if 'tick' in words else 'payer'}" in done.output
    assert CliRunner().invoke(main, ["sandbox", "nothing"]).exit_code == 2

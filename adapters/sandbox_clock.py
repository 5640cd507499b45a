"""The simulators' clock: time stands still until every program says it is quiet, and then jumps to the next thing that
is due; or it flows by itself, and is asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import msgspec

from adapters.errors import ClockError, TransportError
from adapters.http import Answer, Call, HttpTransport, Transport
from domain.times import TimeError, instant, normalise, parse

#: Seconds between looks while the program is not quiet and nothing wakes it. Lower: the looks cost more than the work.
#: Higher: each step of simulated time takes longer, and a simulated year has tens of thousands of steps.
_LOOK_S: Final = 0.002

#: Seconds between looks while a token is out: a belt for work that began without a wakeup. Lower: load. Higher: time
#: may run ahead of it.
_RECHECK_S: Final = 0.05

#: Turns of the loop in a row in which the program must be quiet: a sleeper that was just woken runs in the first of
#: them, and what it starts in the next. Lower: time could move between a sleeper's waking and its work. Higher: slower
#: steps.
_SETTLE_TURNS: Final = 5

#: Seconds between looks at what several processes share while something in it is on its way. Lower: those who wait take
#: the machine from those who work. Higher: each hand-over from process to process makes a step of simulated time
#: longer.
_UNDER_WAY_S: Final = 0.01

#: Real seconds that the sandbox holds one quiet request. Lower: more requests while nothing happens. Higher than 30:
#: the sandbox cuts it.
_HOLD_S: Final = 20.0

#: Real seconds allowed beyond that before an answer counts as lost.
_GRACE_S: Final = 10.0

#: Real seconds of work after which the sandbox is asked again what time it is. Lower: more questions in a long piece of
#: work. Higher: a program that never rests sees later that time has begun to flow; above 5, the sandbox takes a program
#: that works for one that has ended.
_WORKING_S: Final = 1.0

#: While time flows by itself: simulated seconds between two questions what time it is, and the bounds of what they are
#: in real seconds. Lower: the questions cost more than the work. Higher: the program is later than the sandbox by that
#: much, and takes the difference from the APIs' `Date` headers for a wrong clock (300 s: `streams/stages/clock.py`).
_FLOWING_STEP_S: Final = 30.0
_FLOWING_LEAST_S: Final = 0.02
_FLOWING_MOST_S: Final = 0.5

#: Real seconds in which a lost sandbox may come back. Lower: a short hiccup ends a long run. Higher: its end is told
#: that much later.
GONE_AFTER_S: Final = 5.0
_TRY_AGAIN_S: Final = 0.1


class _Reading(msgspec.Struct, frozen=True):
    """What the sandbox says of its clock. `speed`: simulated seconds per real second, where time is `flowing`."""

    now: str
    activity: int
    flowing: bool = False
    speed: float | None = None


_decode_reading: Final = msgspec.json.Decoder(_Reading).decode


Fingerprint = Callable[[], Awaitable[str | None]]


class SandboxClock:
    """The simulators' clock, seen through their barrier: time moves only while this program is quiet; or, where the
    sandbox lets it flow by itself, seen by asking, at most some simulated seconds late.

    `participant` names the program to the sandbox; "" for one that only looks and never says that it is quiet.
    `start(quiet)` reads the time and begins to keep it. `quiet()` must be true only when nothing is left to do at this
    instant: no record unprocessed, no outbox row, no due command, no call in flight. It is asked often and must be
    cheap. Whoever starts or ends work calls `wake()`. When the sandbox goes away or starts over, every sleeper gets
    `ClockError`, and time stands still.

    A process of several gives `fingerprint_of` too, and a `participant` name of its own. Awaited each time the process
    has become quiet, it gives the fingerprint of what the processes share (at most 128 characters), as of a moment
    since the call, once this process has looked at all of it; None while something is on its way in it, or while this
    process is to look. Time moves when all say the same. While time flows neither is asked.
    """

    simulated = True

    def __init__(self, url: str, *, participant: str = "program", gone_after_s: float = GONE_AFTER_S) -> None:
        self._url = url
        self._participant = participant
        self._gone_after_s = gone_after_s
        self._reading: _Reading | None = None
        self._now = ""
        self._sleepers: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._numbers = 0
        self._woken = asyncio.Event()
        self._transport: HttpTransport | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._failure: ClockError | None = None
        self._failed = asyncio.Event()

    async def start(self, quiet: Callable[[], bool], fingerprint_of: Fingerprint | None = None) -> None:
        """Read the time, then keep it until `close`. Raises `ClockError` when the sandbox does not answer."""
        if self._keeper is not None:
            raise ClockError("the clock was started before")
        self._transport = HttpTransport()
        try:
            self._learn(await self._ask(self._transport, self._question()))
        except ClockError:
            await self._transport.close()
            raise
        self._keeper = asyncio.create_task(self._keep(self._transport, quiet, fingerprint_of), name="sandbox-clock")

    async def close(self) -> None:
        """Stop taking part. Sleepers stay asleep: whoever made them cancels them."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()

    async def run_until_failed(self) -> None:
        """Raise `ClockError` once time stands still for good: for a process that has nothing to sleep for. Never
        returns otherwise.
        """
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    @property
    def failure(self) -> ClockError | None:
        """Why time stands still for good; None while it can move."""
        return self._failure

    def now(self) -> str:
        """The simulated instant. Raises `ClockError` before `start`."""
        if not self._now:
            raise ClockError("the sandbox's clock was not started")
        return self._now

    async def sleep_until(self, at: str) -> None:
        """Return once simulated time has reached `at`. Raises `ClockError` when it never will."""
        if self._failure is not None:
            raise self._failure
        wake = normalise(at)
        if wake <= self.now():
            await asyncio.sleep(0)
            return
        self._numbers += 1
        number, woken = self._numbers, asyncio.get_running_loop().create_future()
        self._sleepers[number] = (wake, woken)
        self.wake()
        try:
            await woken
        finally:
            self._sleepers.pop(number, None)

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of simulated time later, at least a millisecond when above zero."""
        step = timedelta(seconds=seconds)
        if timedelta(0) < step < timedelta(milliseconds=1):
            step = timedelta(milliseconds=1)
        await self.sleep_until(instant(parse(self.now()) + step))

    def wake(self) -> None:
        """Something began or ended: look again at once whether the program is quiet."""
        self._woken.set()

    def next_wake(self) -> str | None:
        """The instant at which the first sleeper wants to be woken; None when nobody sleeps."""
        return min((at for at, _ in self._sleepers.values()), default=None)

    async def _keep(self, transport: Transport, quiet: Callable[[], bool], fingerprint_of: Fingerprint | None) -> None:
        try:
            while True:
                reading = await self._next_reading(transport, quiet, fingerprint_of)
                if reading is not None:
                    self._learn(reading)
        except ClockError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever `quiet` raises must reach the sleepers, not die in a background task
            failure = ClockError(f"the clock stopped: {type(error).__name__} while asking whether the program is quiet")
            failure.__cause__ = error
            self._fail(failure)

    async def _next_reading(
        self, transport: Transport, quiet: Callable[[], bool], fingerprint_of: Fingerprint | None
    ) -> _Reading | None:
        """Wait for time to move; None when the program began to work before that."""
        left_s = self._flowing_for_s()
        if left_s is not None:
            await asyncio.sleep(left_s)
        elif (fingerprint := await self._until_all_quiet(quiet, fingerprint_of)) is not None:
            return await self._hold_token(transport, quiet, fingerprint)
        return await self._ask(transport, self._question())

    def _question(self) -> Call:
        """What time is it? The name tells the sandbox that this program takes part, also while it works."""
        return Call("GET", "/_sandbox/clock", query={"participant": self._participant} if self._participant else {})

    def _flowing_for_s(self) -> float | None:
        """Real seconds until the next question, while time flows; None while it stands still."""
        reading = self._reading
        if reading is None or not reading.flowing or not reading.speed:
            return None
        step_s, wake = _FLOWING_STEP_S, self.next_wake()
        if wake is not None:
            step_s = min(step_s, (parse(wake) - parse(self._now)).total_seconds())
        return min(max(step_s / reading.speed, _FLOWING_LEAST_S), _FLOWING_MOST_S)

    async def _until_all_quiet(self, quiet: Callable[[], bool], fingerprint_of: Fingerprint | None) -> str | None:
        """Return when the program is quiet, with the fingerprint of what it shares with others, "" if it shares
        nothing; None when it has worked for long.
        """
        ask_at = asyncio.get_running_loop().time() + _WORKING_S
        while await self._is_quiet_by(ask_at, quiet):
            if fingerprint_of is None:
                return ""
            fingerprint = await fingerprint_of()
            if fingerprint is None:
                await self._woken_or_after(_UNDER_WAY_S)
            # A wakeup: something began and ended meanwhile, maybe after the fingerprint was taken.
            elif quiet() and not self._woken.is_set():
                return fingerprint
        return None

    async def _is_quiet_by(self, ask_at: float, quiet: Callable[[], bool]) -> bool:
        """Return True once the program was quiet in several turns of the loop in a row, False at `ask_at` of the
        loop's time.
        """
        turns = 0
        while turns < _SETTLE_TURNS:
            if asyncio.get_running_loop().time() >= ask_at:
                return False
            self._woken.clear()
            if quiet():
                turns += 1
                await asyncio.sleep(0)
            else:
                turns = 0
                await self._woken_or_after(_LOOK_S)
        return True

    async def _woken_or_after(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _hold_token(self, transport: Transport, quiet: Callable[[], bool], fingerprint: str) -> _Reading | None:
        """Say "quiet" until the sandbox answers; None when the program began to work, or wants to be woken earlier,
        before that.
        """
        wake = self.next_wake()
        asking = asyncio.create_task(self._ask_quiet(transport, wake, fingerprint))
        try:
            while not asking.done():
                woken = asyncio.create_task(self._woken.wait())
                await asyncio.wait({asking, woken}, timeout=_RECHECK_S, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._woken.clear()
                earlier = self.next_wake()
                if not asking.done() and (not quiet() or (earlier is not None and (wake is None or earlier < wake))):
                    return None
            return asking.result()
        finally:
            # Cancelled, its connection closes, and with it the token dies.
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask_quiet(self, transport: Transport, wake: str | None, fingerprint: str) -> _Reading:
        assert self._reading is not None
        token = {
            "participant": self._participant,
            "now": self._reading.now,  # as it came: the sandbox compares it exactly
            "activity": self._reading.activity,
            "next_wake": wake,
            "wait_s": _HOLD_S,
            "fingerprint": fingerprint,
        }
        body = msgspec.json.encode(token)
        return await self._ask(
            transport, Call("POST", "/_sandbox/clock/quiet", body=body, headers={"Content-Type": "application/json"})
        )

    async def _ask(self, transport: Transport, call: Call) -> _Reading:
        answer = await self._exchange(transport, call)
        if answer.status != 200:
            said = answer.body[:2000].decode(errors="replace")
            raise ClockError(f"the sandbox at {self._url} answered {answer.status} when asked for the time: {said}")
        try:
            return _decode_reading(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ClockError(f"{self._url} does not speak the sandbox's clock") from None

    async def _exchange(self, transport: Transport, call: Call) -> Answer:
        give_up_at = asyncio.get_running_loop().time() + self._gone_after_s
        while True:
            try:
                return await transport.exchange(self._url, call, {}, deadline_s=_HOLD_S + _GRACE_S)
            except TransportError as error:
                if asyncio.get_running_loop().time() >= give_up_at:
                    raise ClockError(
                        f"the sandbox at {self._url} is gone ({error.reason}): start it and the program again"
                    ) from None
            await asyncio.sleep(_TRY_AGAIN_S)

    def _learn(self, reading: _Reading) -> None:
        try:
            now = normalise(reading.now)
        except TimeError:
            raise ClockError(f"{self._url} does not speak the sandbox's clock") from None
        if now < self._now or (self._reading is not None and reading.activity < self._reading.activity):
            raise ClockError(
                f"the sandbox started over: it was {self._now} and is now {now}; the program must start over too"
            )
        self._reading, self._now = reading, now
        due = sorted((at, number) for number, (at, _) in self._sleepers.items() if at <= now)
        for _, number in due:
            _, woken = self._sleepers.pop(number)
            if not woken.done():
                woken.set_result(None)

    def _fail(self, error: ClockError) -> None:
        self._failure = error
        self._failed.set()
        for _, woken in self._sleepers.values():
            if not woken.done():
                woken.set_exception(error)

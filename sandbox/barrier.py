"""Moves time: only when every program under test has said "I am quiet", and nothing of ours is under way; or, where
time was told to flow, by itself, with no regard to anybody.

A program says so with a one-shot token that holds for the (now, activity) it saw and for the life of its long-poll
request. The token dies when the client goes away (a killed program), when an API request or a webhook attempt
completes, and when time moves. With a live token from every expected participant, no API request in flight and no
webhook due or under way, time moves to the earliest of: the next scheduled action, the next webhook, a participant's
`next_wake`, the target.

Programs that pass work to each other outside the simulators (through a log, a store) are each quiet while the other's
work is still on its way. Their tokens carry a `fingerprint` of what they share, as it was when they were quiet and had
looked at it, and time moves only when all expected participants say the same one. A token that says another than those
before it releases them: the clock as it is, so that their programs look again. Whoever changed what is shared was not
quiet then, so its next token tells the others. A program alone gives none ("").

While time flows nobody needs to be quiet: a program asks what time it is. What is due happens when its time comes, by
a timer and before each request. A target is not taken then, and one that was set before is forgotten.

Who takes part is known by what it asks: a program that holds a token, or that named itself in a question some seconds
ago. Whoever sets a target may wait for those.

    GET  /_sandbox/clock?participant=
    POST /_sandbox/clock/quiet   {"participant", "now", "activity", "next_wake": iso|null, "wait_s",
                                  "fingerprint": text = ""}
    POST /_sandbox/clock/run     {"until": iso, "participants": [...]}
    GET  /_sandbox/clock/wait?timeout_s=
    POST /_sandbox/clock/speed   {"speed": simulated seconds per real second} or {"day_s": real seconds per day}
    POST /_sandbox/clock/pause
    POST /_sandbox/clock/resume
"""

import asyncio
import traceback
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from sandbox.flow import speed_in
from sandbox.http import bad_request, json_response, read_object
from sandbox.world import World, iso_utc, parse_utc

# Lower: idle programs ask more often for nothing. Higher: a proxy or a client deadline may cut the poll first.
_QUIET_WAIT_MAX_S = 30.0
_IDLE_WAIT_MAX_S = 600.0
_PARTICIPANTS_MAX = 16
# Longest fingerprint, characters. Lower: a digest does not fit. Higher than one: somebody sends the state itself,
# thousands of times.
_FINGERPRINT_MAX = 128
# Tokens released for another fingerprint while neither time moved nor a call ended. Programs that read what they share
# anew agree after a few. Lower: many programs that work long on one thing look like that. Higher: two that never agree
# (two installations, one that reads stale data) spin that much longer before anybody is told.
_RELEASES_MAX = 10_000
# Real seconds after its last question for which a program counts as taking part. Lower: a program that works long
# between two questions is passed over, and time runs without it. Higher: one that has ended is waited for longer.
_PRESENT_S = 5.0
# Longest real seconds for which "quiet" is held while time flows: a pause and a new speed are seen that much later.
# Lower: idle programs ask more often for nothing.
_FLOWING_ANSWER_S = 1.0
# Real seconds after which the timer of flowing time looks again when nothing is due before. Lower: idle looks. Higher:
# nothing; a new speed sets the timer anew.
_TIMER_MAX_S = 3600.0


class _Token(msgspec.Struct, eq=False):
    now: datetime
    activity: int
    next_wake: datetime | None
    fingerprint: str
    gone: asyncio.Future[None]


class Barrier:
    """Moves the world's time when everyone is quiet. One per world; `look` is called at every change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._target: datetime | None = None
        self._participants: tuple[str, ...] = ()
        # In the order in which they were claimed.
        self._tokens: dict[str, _Token] = {}
        # Participant -> real time of its last question.
        self._asked_at_s: dict[str, float] = {}
        self._releases = 0
        self._released_at: tuple[datetime, int] | None = None
        self._idlers: set[asyncio.Future[None]] = set()
        self._again: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: str | None = None
        self.steps = 0
        world.listeners.append(self.look)

    def run_until(self, until: datetime, participants: tuple[str, ...]) -> None:
        """Set the target and who must be quiet for time to move towards it. ValueError: it lies in the past.

        HTTPConflict: time flows, and comes there by itself.
        """
        if self._world.flow.flowing:
            raise web.HTTPConflict(text="time flows by itself: pause it first, with POST /_sandbox/clock/pause")
        if until < self._world.now:
            raise ValueError("the target lies in the past")
        if len(participants) > _PARTICIPANTS_MAX:
            raise ValueError(f"at most {_PARTICIPANTS_MAX} participants")
        self._target = until
        self._participants = participants
        self._look_soon()

    def flow(self, speed: float | None = None) -> None:
        """Let time flow by itself from now on, at `speed`, or at the last one. ValueError: there is none, or no such.

        Whoever was to be quiet is released: from here on it asks what time it is.
        """
        self.look()
        self._world.flow.start(self._world.now, speed)
        self._target, self._participants = None, ()
        for name, token in list(self._tokens.items()):
            del self._tokens[name]
            _resolve(token.gone)
        self.look()

    def pause(self) -> None:
        """Let time stand still where it has come."""
        self.look()
        self.close()
        self.look()

    def close(self) -> None:
        """Let no time flow any more."""
        self._world.flow.pause()
        if self._timer is not None:
            self._timer.cancel()

    def clock(self) -> dict[str, Any]:
        """Give the document every clock endpoint answers with."""
        self._world.keep_up()
        if self._broken is not None:
            raise web.HTTPInternalServerError(text=f"the simulator failed while time moved:\n{self._broken}")
        return {
            "now": iso_utc(self._world.now),
            "activity": self._world.activity,
            "target": None if self._target is None else iso_utc(self._target),
            "idle": self.idle,
            "flowing": self._world.flow.flowing,
            "speed": self._world.flow.speed,
            "participants": self.participants(),
        }

    def participants(self) -> list[str]:
        """Name the programs that take part, as far as their questions tell."""
        since_s = asyncio.get_running_loop().time() - _PRESENT_S
        self._asked_at_s = {name: at_s for name, at_s in self._asked_at_s.items() if at_s >= since_s}
        return sorted({*self._tokens, *self._asked_at_s})

    def asked_by(self, participant: str) -> None:
        """Note that a program asks, and so takes part. Of more than there can be the first are forgotten."""
        self._asked_at_s.pop(participant, None)
        self._asked_at_s[participant] = asyncio.get_running_loop().time()
        if len(self._asked_at_s) > _PARTICIPANTS_MAX:
            del self._asked_at_s[next(iter(self._asked_at_s))]

    @property
    def idle(self) -> bool:
        """Say whether the target is reached (or none is set) and everything is quiet."""
        return (self._target is None or self._world.now >= self._target) and self._all_quiet()

    async def quiet(
        self,
        participant: str,
        token_at: tuple[datetime, int],
        next_wake: datetime | None,
        wait_s: float,
        fingerprint: str = "",
    ) -> dict[str, Any]:
        """Hold a token for `participant` until something changes or `wait_s` real seconds passed; give the clock then.

        The token dies with the caller. While time flows no token is needed: the answer comes when `next_wake` is, or
        soon. ValueError: `next_wake` is not in the future.
        """
        world = self._world
        self.asked_by(participant)
        if world.flow.flowing:
            left_s = wait_s if next_wake is None else world.flow.real_s_until(next_wake)
            await asyncio.sleep(min(left_s, wait_s, _FLOWING_ANSWER_S))
            return self.clock()
        if token_at != (world.now, world.activity):
            return self.clock()
        if next_wake is not None and next_wake <= world.now:
            raise ValueError("next_wake must lie after now: who has something to do now is not quiet")
        loop = asyncio.get_running_loop()
        token = _Token(world.now, world.activity, next_wake, fingerprint, loop.create_future())
        self._tokens.pop(participant, None)
        self._tokens[participant] = token
        timer = loop.call_later(wait_s, _resolve, token.gone)
        self.look()
        try:
            await token.gone
            # While the token still counts: a participant may learn from its own answer that all is idle.
            return self.clock()
        finally:
            timer.cancel()
            self.asked_by(participant)
            if self._tokens.get(participant) is token:
                del self._tokens[participant]

    async def wait_idle(self, timeout_s: float) -> dict[str, Any]:
        """Give the clock when idle, or after `timeout_s` real seconds."""
        if self.idle or self._broken is not None:
            return self.clock()
        loop = asyncio.get_running_loop()
        idler: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(timeout_s, _resolve, idler)
        self._idlers.add(idler)
        try:
            await idler
        finally:
            timer.cancel()
            was_idle = idler not in self._idlers
            self._idlers.discard(idler)
        # What was seen at the moment of release, not what a token that ended since makes of it.
        return {**self.clock(), "idle": was_idle}

    def look(self) -> None:
        """Go on to where flowing time has come, drop stale tokens, send what is due, release who saw something else,
        and take one step of time if it stands still and all is quiet.
        """
        if self._broken is not None:
            return
        try:
            self._world.catch_up()
            self._drop_stale()
            self._world.run_due()
            self._world.webhooks.pump()
            self._release_outdated()
            if self._world.flow.flowing:
                self._set_timer()
            elif self._all_quiet():
                self._step()
        except Exception:  # noqa: BLE001 - a fault of a simulator must stop the run loudly, whoever happened to be calling
            self._broken = traceback.format_exc()
            self._tell_all()

    def _step(self) -> None:
        world = self._world
        if self._target is None or world.now >= self._target:
            self._release_idlers()
            return
        wakes = [token.next_wake for token in self._tokens.values() if token.next_wake is not None]
        times = [self._target, world.next_action_at(), world.webhooks.next_due_at(), *wakes]
        self.steps += 1
        world.move_to(min(time for time in times if time is not None))
        self._drop_stale()
        world.webhooks.pump()
        # Without participants nobody's next token would bring us back here.
        self._look_soon()

    def _set_timer(self) -> None:
        """Look again when the next thing is due by itself. A delivery under way looks again at its end."""
        world = self._world
        if self.idle:
            self._release_idlers()
        due_at = None if world.webhooks.in_flight else world.webhooks.next_due_at()
        times = [time for time in (world.next_action_at(), due_at) if time is not None]
        left_s = world.flow.real_s_until(min(times)) if times else _TIMER_MAX_S
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(left_s, _TIMER_MAX_S), self.look)

    def _all_quiet(self) -> bool:
        world = self._world
        due_at = world.webhooks.next_due_at()
        return (
            world.in_flight == 0
            and not world.webhooks.in_flight
            and (due_at is None or due_at > world.now)
            and all(name in self._tokens for name in self._participants)
            and len({self._tokens[name].fingerprint for name in self._participants}) <= 1
        )

    def _release_outdated(self) -> None:
        """Release the expected participants whose fingerprint is another than that of the newest token among them."""
        held = [(name, token) for name, token in self._tokens.items() if name in self._participants]
        outdated = [(name, token) for name, token in held if token.fingerprint != held[-1][1].fingerprint]
        if not outdated:
            return
        self._count_releases(len(outdated), [name for name, _ in held])
        for name, token in outdated:
            del self._tokens[name]
            _resolve(token.gone)

    def _count_releases(self, count: int, names: list[str]) -> None:
        here = (self._world.now, self._world.activity)
        if here != self._released_at:
            self._released_at, self._releases = here, 0
        self._releases += count
        if self._releases > _RELEASES_MAX:
            raise RuntimeError(
                f"{' and '.join(names)} do not agree on what they share, after {_RELEASES_MAX} looks at "
                f"{iso_utc(here[0])}"
            )

    def _drop_stale(self) -> None:
        world = self._world
        for name, token in list(self._tokens.items()):
            if token.activity != world.activity or token.now != world.now:
                del self._tokens[name]
                _resolve(token.gone)

    def _release_idlers(self) -> None:
        for idler in self._idlers:
            _resolve(idler)
        self._idlers.clear()

    def _tell_all(self) -> None:
        self._release_idlers()
        for token in self._tokens.values():
            _resolve(token.gone)

    def _look_soon(self) -> None:
        if self._again is None:
            self._again = asyncio.get_running_loop().call_soon(self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self.look()


def clock_routes(barrier: Barrier) -> list[web.RouteDef]:
    """Give the endpoints of the clock, for both APIs' applications."""

    async def clock(request: web.Request) -> web.Response:
        if request.query.get("participant"):
            barrier.asked_by(request.query["participant"])
        return json_response(barrier.clock())

    async def quiet(request: web.Request) -> web.Response:
        document = await read_object(request)
        wake = document.get("next_wake")
        try:
            answer = await barrier.quiet(
                str(document["participant"]),
                (parse_utc(document["now"]), int(document["activity"])),
                None if wake is None else parse_utc(wake),
                min(float(document.get("wait_s", 5)), _QUIET_WAIT_MAX_S),
                _fingerprint(document.get("fingerprint", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response(answer)

    async def run(request: web.Request) -> web.Response:
        document = await read_object(request)
        try:
            names = document.get("participants", [])
            barrier.run_until(parse_utc(document["until"]), tuple(str(name) for name in names))
        except (KeyError, TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response(barrier.clock())

    async def flow(request: web.Request) -> web.Response:
        document = await read_object(request)
        try:
            barrier.flow(speed_in(document))
        except (TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response(barrier.clock())

    async def pause(_request: web.Request) -> web.Response:
        barrier.pause()
        return json_response(barrier.clock())

    async def resume(_request: web.Request) -> web.Response:
        try:
            barrier.flow()
        except ValueError as error:
            raise bad_request(error) from error
        return json_response(barrier.clock())

    async def wait(request: web.Request) -> web.Response:
        try:
            timeout_s = min(float(request.query.get("timeout_s", "30")), _IDLE_WAIT_MAX_S)
        except ValueError as error:
            raise bad_request(error) from error
        return json_response(await barrier.wait_idle(timeout_s))

    return [
        web.get("/_sandbox/clock", clock),
        web.post("/_sandbox/clock/quiet", quiet),
        web.post("/_sandbox/clock/run", run),
        web.get("/_sandbox/clock/wait", wait),
        web.post("/_sandbox/clock/speed", flow),
        web.post("/_sandbox/clock/pause", pause),
        web.post("/_sandbox/clock/resume", resume),
    ]


def _fingerprint(said: object) -> str:
    if not isinstance(said, str) or len(said) > _FINGERPRINT_MAX:
        raise ValueError(f"a fingerprint is a text of at most {_FINGERPRINT_MAX} characters")
    return said


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

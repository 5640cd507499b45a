"""A real Apache Kafka for tests and benches, from the first of these that is there.

1. `KAFKA_BOOTSTRAP_SERVERS`: the cluster at `host:port,host:port`;
2. a Docker engine: `apache/kafka` in a container;
3. Java 17 and Maven: brokers of our own on the loopback, from their jars;
4. none: `Missing`, naming what was looked for.

`brokers` climbs that ladder. A `Cluster` (the third step) can also be killed, paused, cut off and secured: tests of
faults ask for it.
"""

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from tests.support import kafka_jars
from tests.support.kafka_secured import Doors, Secured
from tests.support.kept_process import KeptProcess
from tests.support.servers_found import Missing, accepts, and_also, docker_answers, free_ports, wait_until
from tests.support.tcp_gate import Gate

_T = TypeVar("_T")

_IMAGE: Final = "apache/kafka:4.1.1"
# A broker answers in 3 to 10 s. Lower: a loaded machine of two cores counts as broken; higher: a broken one is seen
# later.
_ANSWERS_WITHIN_S: Final = 90.0
_ASK_TIMEOUT_MS: Final = 5_000

_COMMON: Final = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",  # a topic is there because provisioning made it
    "unclean.leader.election.enable": "false",
    "offsets.topic.num.partitions": "4",  # 50 by default: seconds of every start
    "transaction.state.log.num.partitions": "4",
    # 9 s and 2 s by default. A killed broker is missed, and may come back, only after the first: lower, a loaded
    # machine loses its brokers for nothing; higher, every test of a broker's death waits for it.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",  # 3 s by default: of every group that a test starts
}


class Brokers(Protocol):
    """A cluster that somebody runs."""

    @property
    def servers(self) -> tuple[str, ...]:
        """`host:port` of each broker to ask first."""
        ...

    @property
    def url(self) -> str:
        """`kafka://host:port,host:port`."""
        ...


@dataclass(frozen=True)
class Given:
    """A cluster that was there before us, or that Docker runs."""

    servers: tuple[str, ...]

    @property
    def url(self) -> str:
        return _url(self.servers)


class Cluster:
    """Brokers of our own, each one also a controller. A broker's index is its place in `servers` and its node id.

    Attributes:
        servers: where each broker answers without TLS or login; with ACLs whoever comes here may do everything.
        gates: with `gates=True` one for each broker, in front of a listener of its own: who comes by `gated_url` is
        always behind them. doors: the secured listeners' users, files and addresses, with `secured`.

    """

    def __init__(
        self, folder: Path, ports: list[int], gates: tuple[Gate, ...], doors: Doors | None, java: list[str]
    ) -> None:
        """Use `start`."""
        self.folder = folder
        self.servers = tuple(f"127.0.0.1:{port}" for port in ports)
        self.gates = gates
        self._doors = doors
        self._ports = ports
        self._java = java
        self._running: dict[int, KeptProcess] = {}

    @classmethod
    def start(
        cls,
        folder: Path,
        brokers: int = 1,
        *,
        gates: bool = False,
        secured: Secured | None = None,
        extra_properties: Mapping[str, str] | None = None,
    ) -> Self:
        """Brokers with their data in `folder`, answering. Topics get three copies (two in sync) from three brokers on,
        else one.

        Raises:
            Missing: no Java, no Maven, or no jars.
            ServerDied: a broker does not come up.

        """
        java = kafka_jars.java_command()
        folder.mkdir(parents=True, exist_ok=True)
        ports, behind, controllers = (free_ports(3 * brokers)[at::3] for at in range(3))
        doors = Doors(secured, folder / "tls", brokers) if secured else None
        cluster = cls(folder, ports, tuple(Gate(port) for port in behind) if gates else (), doors, java)
        try:
            cluster._write(behind, controllers, extra_properties or {})
            cluster._format()
            for index in range(brokers):
                cluster._launch(index)
            for index in range(brokers):
                cluster._wait(index, set(range(brokers)))
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @property
    def url(self) -> str:
        return _url(self.servers)

    @property
    def doors(self) -> Doors:
        if self._doors is None:
            raise ValueError("this cluster was started without `secured`")
        return self._doors

    @property
    def gated_url(self) -> str:
        return _url(f"127.0.0.1:{gate.port}" for gate in self.gates)

    def kill(self, index: int) -> None:
        """`kill -9`, and its end."""
        self._running.pop(index).end()

    def pause(self, index: int) -> None:
        """As a machine that hangs: its connections stay and nothing answers."""
        self._running[index].send(signal.SIGSTOP)

    def resume(self, index: int) -> None:
        self._running[index].send(signal.SIGCONT)

    def up(self, index: int) -> None:
        """Start a killed broker on its own data; returns when it answers as a member of the cluster.

        Raises:
            ServerDied: it does not.

        """
        if index in self._running:
            raise ValueError(f"broker {index} is running")
        self._launch(index)
        self._wait(index, {index})

    def log_of(self, index: int) -> str:
        """What the broker has logged, over all its lives."""
        return self._log_path(index).read_text(errors="replace")

    def stop(self) -> None:
        """Kill all and remove their data; the logs stay for a look."""
        for index in list(self._running):
            self.kill(index)
        for gate in self.gates:
            gate.stop()
        for data in self.folder.glob("data-*"):
            shutil.rmtree(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _log_path(self, index: int) -> Path:
        return self.folder / f"broker-{index}.log"

    def _properties_path(self, index: int) -> Path:
        return self.folder / f"broker-{index}.properties"

    def _write(self, behind: list[int], controllers: list[int], extra: Mapping[str, str]) -> None:
        copies, in_sync = (3, 2) if len(self._ports) >= 3 else (1, 1)
        shared = _COMMON | {
            "controller.quorum.voters": ",".join(f"{index}@127.0.0.1:{port}" for index, port in enumerate(controllers))
        }
        shared |= {"default.replication.factor": str(copies), "min.insync.replicas": str(in_sync)}
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            shared[f"{topic}.replication.factor"] = str(copies)
        for topic in ("transaction.state.log", "share.coordinator.state.topic"):
            shared[f"{topic}.min.isr"] = str(in_sync)
        for index, port in enumerate(self._ports):
            listening = {"PLAINTEXT": port, "CONTROLLER": controllers[index]}
            protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
            if self.gates:
                listening["GATED"], protocols["GATED"] = behind[index], "PLAINTEXT"
            own = {"node.id": str(index), "log.dirs": str(self.folder / f"data-{index}")}
            if self._doors:
                listening |= self._doors.ports(index)
                protocols |= {name: name for name in self._doors.ports(index)}
                own |= self._doors.properties()
            advertised = {name: at for name, at in listening.items() if name != "CONTROLLER"}
            if self.gates:
                advertised["GATED"] = self.gates[index].port
            own["listeners"] = _listeners(listening)
            own["advertised.listeners"] = _listeners(advertised)
            own["listener.security.protocol.map"] = ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            )
            lines = [f"{name}={value}\n" for name, value in {**shared, **own, **extra}.items()]
            self._properties_path(index).write_text("".join(lines))

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode().replace("-", "A")
        scram = self._doors.scram() if self._doors else []
        started = []
        for index in range(len(self._ports)):
            command = [
                *self._java,
                "kafka.tools.StorageTool",
                "format",
                "-t",
                cluster_id,
                "-c",
                str(self._properties_path(index)),
                *scram,
            ]
            with self._log_path(index).open("ab") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        for index, code in enumerate([process.wait(_ANSWERS_WITHIN_S) for process in started]):
            if code:
                raise RuntimeError(f"broker {index}'s data cannot be formatted:\n{self.log_of(index)}")

    def _launch(self, index: int) -> None:
        self._running[index] = KeptProcess(
            [*self._java, "kafka.Kafka", self._properties_path(index)], self._log_path(index)
        )

    def _wait(self, index: int, members: set[int]) -> None:
        wait_until(
            lambda: accepts(self._ports[index]) and members <= _members(self.servers[index]),
            self._running[index].alive,
            lambda: self.log_of(index),
            what=f"broker {index}",
            timeout_s=_ANSWERS_WITHIN_S,
        )


@contextlib.contextmanager
def brokers(folder: Path) -> Iterator[Brokers]:
    """One cluster from the first step of the ladder that holds; gone afterwards if it is ours.

    Raises:
        Missing: none does.

    """
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Given(tuple(server.strip() for server in given.split(",")))
    elif docker_answers():
        with _container() as found:
            yield found
    else:
        try:
            cluster = Cluster.start(folder)
        except Missing as missing:
            raise Missing(
                and_also(["KAFKA_BOOTSTRAP_SERVERS is not set", "no Docker engine answers", str(missing)])
            ) from None
        with cluster:
            yield cluster


@contextlib.contextmanager
def _container() -> Iterator[Given]:
    from testcontainers.core.container import DockerContainer

    port = free_ports(1)[0]
    settings = _COMMON | {
        "node.id": "1",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": "1@127.0.0.1:9093",
    }
    settings |= {f"{topic}.replication.factor": "1" for topic in ("offsets.topic", "transaction.state.log")}
    settings |= {"transaction.state.log.min.isr": "1"}
    container = DockerContainer(_IMAGE).with_bind_ports(9092, port)
    for name, value in settings.items():
        container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    with container:
        server = f"127.0.0.1:{port}"
        logged = lambda: "\n".join(part.decode(errors="replace") for part in container.get_logs())  # noqa: E731 - read only if it fails
        wait_until(lambda: 1 in _members(server), lambda: True, logged, what=_IMAGE, timeout_s=_ANSWERS_WITHIN_S)
        yield Given((server,))


def remove_topics(servers: Iterable[str], prefix: str) -> None:
    """What a test leaves behind in a cluster that others use too: the topics whose names begin so."""

    async def removed() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=list(servers))
        await admin.start()
        try:
            await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(prefix)])
        finally:
            await admin.close()

    _in_own_loop(removed())


def _url(servers: Iterable[str]) -> str:
    return f"kafka://{','.join(servers)}"


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _members(server: str) -> set[int]:
    """The brokers that this one counts as members; none while it does not answer."""
    return _in_own_loop(_ask(server))


def _in_own_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """In a thread of its own: the caller may be inside a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _ask(server: str) -> set[int]:
    client = AIOKafkaClient(bootstrap_servers=server, request_timeout_ms=_ASK_TIMEOUT_MS)
    try:
        await client.bootstrap()
        return {broker.nodeId for broker in client.cluster.brokers()}
    except KafkaError:
        return set()
    finally:
        await client.close()

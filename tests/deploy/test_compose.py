"""docker-compose.yml against what it speaks to: the compose specification, the real command line, the real settings,
itself.

No container engine is needed, and none is used: what only an engine could show is said in docs/deploy.md.
"""

import asyncio
import re
import subprocess
import sys
import tomllib
from urllib.parse import urlsplit

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from adapters.vault import new_key
from sandbox.server import SandboxConfig, running_sandbox
from streams.credentials import open_vault
from streams.log.kafka.access import Access
from streams.process.health import Health
from streams.process.program import ROLES
from streams.settings import FILE_VARIABLE, PREFIX, Settings, SettingsError, load
from tests.support.deployment import ROOT, parsed

SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY\Z")
PINNED = re.compile(r"(?:[a-z0-9.-]+/)*[a-z0-9-]+:\d+\.\d+(?:\.\d+)?(?:-[a-z0-9.]+)*\Z")


# --- the specification ---


def validated(path):
    """The official JSON Schema of the specification, as check-jsonschema ships it."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_it_is_valid_by_the_schema_of_the_specification():
    found = validated(ROOT / "docker-compose.yml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_schema_refuses_what_is_not_compose(compose_text, tmp_path):
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(compose_text.replace("cap_drop:", "cap_dropp:"))
    found = validated(broken)
    assert found.returncode == 1
    assert "cap_dropp" in found.stdout


# --- commands ---


def test_every_command_is_one_that_the_program_takes(ours, command_of):
    for name, service in ours.items():
        command, parameters = parsed(command_of(service))
        assert command in {"run", "topics apply", "sandbox"}, name
        if command == "run":
            assert parameters["role"] == name


def test_there_is_a_service_for_every_role(ours, command_of):
    commands = [parsed(command_of(service)) for service in ours.values()]
    assert sorted(found["role"] for name, found in commands if name == "run") == sorted(set(ROLES) - {"all"})


def test_a_command_that_the_program_does_not_take_is_found():
    with pytest.raises(Exception, match="'stoker' is not one of"):
        parsed(["run", "--role", "stoker"])
    with pytest.raises(AssertionError, match="there is no fly"):
        parsed(["fly"])


# --- settings ---


def environment_of(service, dockerfile):
    return dockerfile.environment | service.get("environment", {})


@pytest.fixture(params=["settings.example.toml", "sandbox.toml"])
def settings_of(request, dockerfile):
    """The settings of a service, from the real loader: the file that is mounted, and over it the environment of its
    container.
    """

    def loaded(service, **more):
        return load(ROOT / "deploy" / request.param, environment_of(service, dockerfile) | more)

    return loaded


def connected(ours):
    return {name: service for name, service in ours.items() if name != "sandbox"}


def test_every_variable_is_a_setting_of_the_program(ours, settings_of):
    for service in connected(ours).values():
        assert isinstance(settings_of(service), Settings)
        with pytest.raises(SettingsError, match="kafka"):
            settings_of(service, **{f"{PREFIX}KAFKA__REPLICATE": "1"})


def test_every_process_has_the_same_settings(ours, settings_of):
    assert len({repr(settings_of(service)) for service in connected(ours).values()}) == 1


def test_log_and_store_are_services_that_are_there(ours, services, settings_of):
    settings = settings_of(ours["worker"])
    (server,) = Access.from_url(settings.log, settings.kafka).servers
    assert f"PLAINTEXT://{server}" == services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    url = sa.make_url(settings.store)
    database = services["postgres"]["environment"]
    assert (url.host, url.port, url.password) == ("postgres", 5432, None)
    assert (url.username, url.database) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    for service in connected(ours).values():
        assert service["environment"]["PGPASSWORD"] == database["POSTGRES_PASSWORD"]


def test_copies_fit_the_one_broker(ours, services, settings_of):
    kafka = settings_of(ours["worker"]).kafka
    broker = services["kafka"]["environment"]
    assert kafka.replication == kafka.min_insync == int(broker["KAFKA_DEFAULT_REPLICATION_FACTOR"]) == 1
    assert broker["KAFKA_LOG_FLUSH_INTERVAL_MESSAGES"] == "1", "one copy that is not on the disk is none"
    assert broker["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_keyring_is_where_the_settings_say(ours, compose, settings_of, tmp_path):
    for service in connected(ours).values():
        kind, _, path = settings_of(service).keys.partition(":")
        assert (kind, path) == ("file", f"/run/secrets/{service['secrets'][0]}")
    assert set(compose["secrets"]) == {"keyring"}
    keyring = tmp_path / "keyring"
    keyring.write_text(new_key("main"))
    keyring.chmod(0o600)
    assert open_vault(f"file:{keyring}") is not None


def test_the_settings_file_is_mounted_where_the_image_looks(ours, dockerfile):
    for service in connected(ours).values():
        (mount,) = service["volumes"]
        assert mount["target"] == environment_of(service, dockerfile)[FILE_VARIABLE]
        assert mount["read_only"]
        assert not mount["bind"]["create_host_path"], "a missing file must be an error, not an empty folder"


# --- variables and secrets ---


def test_every_variable_is_in_the_example_and_the_docs(variables, dot_env):
    used = {match["name"] for match in variables}
    assert used == set(dot_env)
    docs = (ROOT / "docs" / "deploy.md").read_text()
    assert [name for name in sorted(used) if f"`{name}`" not in docs] == []


def test_no_secret_has_a_default(variables, dot_env, services):
    secret = [match for match in variables if SECRET.search(match["name"])]
    assert secret
    assert all(match["how"] == "?" for match in secret)
    assert all(dot_env[match["name"]] == "" for match in secret)
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            assert not SECRET.search(variable) or value == "made-up-for-the-test", f"{name}: {variable}"


def test_what_is_not_secret_has_the_default_of_the_example(variables, dot_env):
    for match in variables:
        if match["how"] == "-":
            assert dot_env[match["name"]] == match["rest"]


# --- health ---


def test_every_service_has_a_health_check(services, ours, dockerfile):
    assert dockerfile.health_check
    for name, service in services.items():
        assert service.get("healthcheck") or name in ours
    assert [name for name, service in services.items() if service.get("healthcheck", {}).get("disable")] == ["topics"]


@pytest.fixture
async def answering():
    """A server of the health routes alone, that answers with a status; its port."""
    runners = []

    async def start(status):
        paths = [route.path for route in Health(None, {}).routes()]

        async def answer(request):
            return web.Response(status=status if request.path == "/health" else 500)

        app = web.Application()
        app.add_routes([web.get(path, answer) for path in paths])
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1]

    yield start
    for runner in runners:
        await runner.cleanup()


async def exit_code(words, environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words[1:],
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_the_health_check_of_the_image_tells_health(answering, dockerfile, status, code):
    port = await answering(status)
    assert dockerfile.health_check[0] == "python"
    assert await exit_code(dockerfile.health_check, {f"{PREFIX}GATEWAY__PORT": str(port)}) == code


async def test_the_health_check_of_the_image_tells_that_nobody_answers(dockerfile, unused_tcp_port):
    assert await exit_code(dockerfile.health_check, {f"{PREFIX}GATEWAY__PORT": str(unused_tcp_port)}) == 1


def test_health_is_asked_where_the_settings_say(ours, dockerfile, settings_of):
    variable = f"{PREFIX}GATEWAY__PORT"
    assert variable in dockerfile.health_check[2]
    for service in connected(ours).values():
        gateway = settings_of(service).gateway
        assert gateway.host == "0.0.0.0", "on its loopback a container is not reached"
        assert str(gateway.port) == dockerfile.environment[variable] == dockerfile.last("EXPOSE").text
        assert [port.rpartition(":")[2] for port in service.get("ports", [])] in ([], [str(gateway.port)])


async def test_the_sandbox_is_asked_where_it_listens(ours, command_of):
    service = ours["sandbox"]
    _, given = parsed(command_of(service))
    assert given["host"] == "0.0.0.0"
    words = service["healthcheck"]["test"]
    assert words[:3] == ["CMD", "python", "-c"]
    assert f"127.0.0.1:{given['gocardless_port']}/" in words[3]
    connection = tomllib.loads((ROOT / "deploy" / "sandbox.toml").read_text())
    demo = connection["connections"]["demo"]
    assert connection["clock"] == demo["gocardless"]["url"] == f"http://sandbox:{given['gocardless_port']}"
    assert demo["zoho"]["url"] == f"http://sandbox:{given['zoho_port']}"
    ports = {str(given["gocardless_port"]), str(given["zoho_port"])}
    assert {port.rpartition(":")[2] for port in service["ports"]} == ports
    async with running_sandbox(SandboxConfig(seed=given["seed"])) as running:
        at = urlsplit(running.gocardless_url).netloc
        code = words[3].replace(f"127.0.0.1:{given['gocardless_port']}", at)
        assert await exit_code(["python", "-c", code], {}) == 0
        assert await exit_code(["python", "-c", code.replace("_sandbox", "nowhere")], {}) == 1


async def test_the_documents_for_the_sandbox_fill_it(ours, command_of):
    demo = tomllib.loads((ROOT / "deploy" / "sandbox.toml").read_text())["connections"]["demo"]
    _, given = parsed(command_of(ours["sandbox"]))
    async with running_sandbox(SandboxConfig(seed=given["seed"])) as running, aiohttp.ClientSession() as session:

        async def post(url, name):
            async with session.post(url, data=(ROOT / "deploy" / name).read_bytes()) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        books = await post(f"{running.zoho_url}/_sandbox/zoho/populate", "sandbox-books.json")
        await post(f"{running.gocardless_url}/_sandbox/gocardless/populate", "sandbox-payers.json")
        assert books["organization_id"] == demo["zoho"]["organization_id"]


# --- what keeps it running, and in its place ---


def test_what_fails_is_started_again(services):
    assert {name: service["restart"] for name, service in services.items() if name != "topics"} == dict.fromkeys(
        set(services) - {"topics"}, "unless-stopped"
    )
    assert services["topics"]["restart"] == "no"


def test_a_stop_leaves_time_for_the_calls_under_way(services, ours, settings_of):
    for name, service in services.items():
        assert service["stop_grace_period"] == "60s", name
    assert settings_of(ours["executor"]).calls.deadline_s < 60


def test_nothing_runs_as_root_or_may_become_it(services, ours, dockerfile):
    uid = dockerfile.last("USER").text
    assert uid == "10001:10001"
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        assert "cap_add" not in service
        assert service["logging"]["options"]["max-size"], name
    for service in ours.values():
        assert service["user"] == uid
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
        assert service["init"]
    # Kafka's image has a user of its own (uid 1000) that it starts as; PostgreSQL's would start as root.
    assert services["postgres"]["user"] == "999:999"
    assert services["postgres"]["read_only"]


def test_images_are_pinned(services, ours):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in services.items():
        assert PINNED.match(service["image"]), name
        assert (service["image"] == f"zoho-gocardless:{version}") is (name in ours)
    assert not PINNED.match("postgres:latest")
    assert not PINNED.match("postgres:17")
    assert not PINNED.match("postgres")


def test_each_dependency_is_a_service_that_can_fulfil_it(services):
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            disabled = services[other].get("healthcheck", {}).get("disable", False)
            expected = "service_completed_successfully" if services[other]["restart"] == "no" else "service_healthy"
            assert how["condition"] == expected
            assert disabled is (expected == "service_completed_successfully")
            assert how.get("required", True) is ("profiles" not in services[other]), "one of a profile may be absent"


def test_volumes_and_networks_are_declared_and_used(compose, services):
    named = [
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)
    ]
    assert sorted(named) == sorted(compose["volumes"]), "and no two services share one"
    used = {network for service in services.values() for network in service["networks"]}
    assert used == set(compose["networks"])


def test_brokers_and_database_are_reached_from_inside_alone(compose, services):
    assert compose["networks"]["inside"]["internal"]
    for name in ("kafka", "postgres", "topics", "worker"):
        assert services[name]["networks"] == ["inside"]
        assert "ports" not in services[name]
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "TLS is spoken by a proxy in front"
            assert "outside" in service["networks"]


def test_state_is_kept_in_the_named_volumes(services):
    kafka = services["kafka"]
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]

"""The files of a deployment, read as the container tools read them: the compose file with its variables, the steps of
the Dockerfile.
"""

import re

import pytest
from ruamel.yaml import YAML

from tests.support.deployment import ROOT, Dockerfile, Step

#: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


@pytest.fixture(scope="session")
def dockerfile():
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    steps, stage = [], -1
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, text = line.partition(" ")
            stage += word == "FROM"
            steps.append(Step(word, text.strip(), stage))
    return Dockerfile(steps)


@pytest.fixture(scope="session")
def compose_text():
    return (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="session")
def variables(compose_text):
    """Each use of a variable in the compose file: its `name`, `how` ("-" a default, "?" required) and the `rest`."""
    return list(VARIABLE.finditer(compose_text))


@pytest.fixture(scope="session")
def dot_env():
    """Name → value of `.env.example`."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="session")
def compose(compose_text, dot_env):
    """The compose file with `.env.example` filled in, as on a machine that followed the docs."""
    given = dot_env | {"POSTGRES_PASSWORD": "made-up-for-the-test"}

    def value(match):
        found = given.get(match["name"], "") or (match["rest"] if match["how"] == "-" else "")
        assert found, f"{match[0]} has no value"
        return found

    lines = (line for line in compose_text.splitlines() if not line.lstrip().startswith("#"))
    return YAML(typ="safe").load(VARIABLE.sub(value, "\n".join(lines)))


@pytest.fixture(scope="session")
def services(compose):
    return compose["services"]


@pytest.fixture(scope="session")
def ours(services):
    """The services that run the program."""
    return {name: service for name, service in services.items() if "build" in service}


@pytest.fixture(scope="session")
def command_of(dockerfile):
    """The words that a service's container runs, after the entry point."""

    def words(service):
        assert "entrypoint" not in service, "the image says what is run"
        return service.get("command", dockerfile.last("CMD").words)

    return words

"""docs/deploy.md: its commands name services, files and images that are there, and the program takes its own."""

import re
import shlex
import tomllib

import pytest
from ruamel.yaml import YAML

from streams.settings import decode, load
from tests.support.deployment import ROOT, parsed

#: Options of docker's commands that are followed by a value.
VALUED = {
    "--tag",
    "-v",
    "--volume",
    "--name",
    "--restart",
    "--tmpfs",
    "--cap-drop",
    "--stop-timeout",
    "--publish",
    "--scale",
    "--profile",
}


def without_options(words):
    """What is left when docker's own options, which come first, are gone; and those options."""
    rest, options = list(words), []
    while rest and rest[0].startswith("-"):
        options.append(rest.pop(0))
        if options[-1] in VALUED:
            options.append(rest.pop(0))
    return rest, options


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "deploy.md").read_text()


@pytest.fixture(scope="module")
def lines(page):
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [part.strip() for block in blocks for line in block.splitlines() for part in line.split(" && ")]


def test_each_compose_command_names_services_and_a_command_of_the_program(lines, services, ours):
    seen = set()
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        if words[:2] != ["docker", "compose"]:
            continue
        (verb, *rest), _ = without_options(words[2:])
        rest, options = without_options(rest)
        seen.add(verb)
        scaled = {word.partition("=")[0] for word in options if "=" in word}
        assert scaled <= set(ours), line
        match verb:
            case "up" | "logs" | "ps" | "stop":
                assert set(rest) <= set(services), line
            case "run":
                assert rest[0] in ours, line
                if rest[1:]:
                    parsed(rest[1:])
            case "exec":
                assert rest[0] in services, line
                assert rest[1] in {"zoho-gocardless", "python", "pg_dump"}, line
                if rest[1] == "zoho-gocardless":
                    parsed(rest[2:])
            case _:
                pytest.fail(f"not known here: {line}")
    assert seen == {"up", "logs", "ps", "stop", "run", "exec"}


def test_each_docker_command_is_of_the_image_and_the_program(lines, ours):
    (image,) = {service["image"] for service in ours.values()}
    assert f"docker build --tag {image} ." in lines
    run = [shlex.split(line) for line in lines if line.startswith("docker run ")]
    assert len(run) == 2
    for words in run:
        (named, *command), _ = without_options(words[2:])
        assert named == image
        parsed(command)


def test_each_file_named_is_there(lines):
    named = {word.lstrip("@") for line in lines for word in re.findall(r"@?deploy/[\w.-]+|\.env\.example", line)}
    assert len(named) == 5
    assert all((ROOT / name).is_file() for name in named)


def test_the_settings_shown_are_settings(page, ours, dockerfile):
    (embedded,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert decode(tomllib.loads(embedded), "the page").keys == "file:/run/secrets/keyring"
    (override,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    services = YAML(typ="safe").load(override)["services"]
    assert set(services) == set(ours) - {"sandbox"}
    for name, service in services.items():
        environment = dockerfile.environment | ours[name]["environment"] | service["environment"]
        kafka = load(ROOT / "deploy" / "settings.example.toml", environment).kafka
        assert (kafka.security, kafka.sasl, kafka.replication, kafka.min_insync) == ("tls", "SCRAM-SHA-512", 3, 2)

"""The Dockerfile: its steps are run by hand in a clean folder (`make soak`), the rest is read."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.deployment import ROOT, parsed

#: A user that owns nothing. Only root can become it; anybody else is not root already.
NOBODY = 65534
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<marker>[^\\\n]*)\\?$")


def pins(path):
    """Name → (version, marker, hashes) of a lock file."""
    found, current = {}, None
    for line in path.read_text().splitlines():
        if match := PIN.match(line):
            current = found[canonicalize_name(match["name"])] = (match["version"], match["marker"].strip(), set())
        elif "--hash=" in line:
            current[2].add(line.strip(" \\").removeprefix("--hash="))
    return found


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# --- what goes in ---


def test_both_stages_are_the_same_pinned_python(dockerfile, project):
    first, last = (step.text.split()[0] for step in dockerfile.of("FROM"))
    assert first == last
    match = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-bookworm", first)
    assert match
    assert f">={match[1]}" in project["project"]["requires-python"]


def test_only_the_environment_comes_out_of_the_builder(dockerfile):
    (copied,) = dockerfile.of("COPY", stage=1)
    assert copied.words == ["--from=builder", "/opt/venv", "/opt/venv"]
    assert all("pip" not in step.text for step in dockerfile.of("RUN", stage=1))


def test_it_is_not_root_and_stops_by_a_signal_that_run_knows(dockerfile):
    assert dockerfile.last("USER").text == "10001:10001"
    assert dockerfile.last("STOPSIGNAL").text == "SIGTERM"
    assert dockerfile.last("VOLUME").words == ["/data"]
    command, _ = parsed(dockerfile.last("CMD").words)
    assert command == "run"


def test_the_entry_point_is_the_console_script(dockerfile, project):
    (name,) = dockerfile.last("ENTRYPOINT").words
    assert name in project["project"]["scripts"]


def test_nothing_reaches_the_builder_but_what_is_copied(dockerfile):
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {source.strip("./") for step in dockerfile.of("COPY", stage=0) for source in step.words[:-1]}
    assert let_in == copied
    assert all((ROOT / name).exists() for name in let_in)


def test_all_packages_are_copied(dockerfile, project):
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {source for step in dockerfile.of("COPY", stage=0) for source in step.words[:-1]}
    assert packages <= copied


# --- the lock files ---


def test_what_runs_is_what_was_tested():
    tested, runs = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-run.lock")
    for name, (version, marker, hashes) in runs.items():
        assert (version, hashes) == (tested[name][0], tested[name][2]), name
        assert tested[name][1] in {marker, ""}, "it is tested wherever it runs"
    assert {"pytest", "mypy", "ruff", "testcontainers"}.isdisjoint(runs)


def test_what_runs_is_what_the_project_asks_for(project):
    runs = pins(ROOT / "requirements-run.lock")
    for text in project["project"]["dependencies"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(runs[canonicalize_name(wanted.name)][0]), text


def test_what_builds_is_what_the_project_asks_for(project):
    builds = pins(ROOT / "requirements-build.lock")
    wanted = [Requirement(text) for text in project["build-system"]["requires"]]
    assert {canonicalize_name(one.name) for one in wanted} == set(builds)
    assert all(one.specifier.contains(builds[canonicalize_name(one.name)][0]) for one in wanted)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-run.lock", "requirements-build.lock"])
def test_a_lock_has_hashes_and_no_addresses(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    found = pins(ROOT / name)
    assert found
    assert all(hashes for _, _, hashes in found.values())


# --- the steps, by hand ---


class Builder:
    """The builder's steps in a folder of this machine: its absolute paths lie below it, its Python is a fresh
    environment.
    """

    def __init__(self, folder):
        self.folder = folder
        self.environment = {"PATH": f"{folder / 'python' / 'bin'}{os.pathsep}{os.defpath}", "HOME": str(folder)}
        subprocess.run([self.interpreter(), "-m", "venv", str(folder / "python")], check=True, timeout=120)

    def interpreter(self):
        """A Python that everybody on this machine may run, as everybody may in the image: this one, or a copy of it
        with its library.
        """
        base = Path(sys.base_prefix)
        if all(path.stat().st_mode & stat.S_IXOTH for path in (base, *base.parents)):
            return Path(sys.executable).resolve()
        left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "share")
        copy = shutil.copytree(base, self.folder / "base", ignore=left_out, symlinks=True)
        self.environment["LD_LIBRARY_PATH"] = str(copy / "lib")
        return copy / "bin" / Path(sys.executable).resolve().name

    def here(self, text):
        return re.sub(r"/(opt/venv|dist|src)\b", lambda match: str(self.folder / match[1]), text)

    def run(self, step):
        match step.word:
            case "WORKDIR":
                Path(self.here(step.text)).mkdir(parents=True)
            case "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in step.words)
            case "COPY":
                *sources, target = step.words
                for source in sources:
                    self.copy(ROOT / source, self.folder / "src" / target)
            case "RUN":
                subprocess.run(
                    ["sh", "-c", self.here(step.text)],
                    cwd=self.folder / "src",
                    env=self.environment,
                    check=True,
                    timeout=600,
                )

    def copy(self, source, target):
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
        else:
            shutil.copy(source, target)


def program(folder, *words, **variables):
    """The program as it would run in the image: from elsewhere, without the tree, as somebody who may write nowhere but
    in /data.
    """
    path = f"{folder / 'opt/venv/bin'}{os.pathsep}{os.defpath}"
    environment = {
        "PATH": path,
        "LD_LIBRARY_PATH": str(folder / "base" / "lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
    } | variables
    somebody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(
        ["zoho-gocardless", *words],
        cwd=folder / "data",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **somebody,
    )


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_the_steps_of_the_image_make_a_program_that_works(dockerfile, project):
    # Below /tmp and not pytest's own folder, which nobody else may enter.
    folder = Path("/tmp") / f"zoho-gocardless-image-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        builder = Builder(folder)
        for step in [step for step in dockerfile.steps if step.stage == 0]:
            builder.run(step)
        shutil.rmtree(folder / "src")
        shutil.rmtree(folder / "dist")
        data = folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            os.chown(data, NOBODY, NOBODY)
        said = program(folder, "--version")
        assert (said.returncode, project["project"]["version"] in said.stdout) == (0, True), said.stderr
        for command in (["run", "--help"], ["topics", "--help"], ["sandbox", "--help"]):
            assert program(folder, *command).returncode == 0, command
        said = program(folder, "keys", "new", "main", "--file", "keyring")
        assert said.returncode == 0, said.stderr
        installation = {
            "ZOHO_GOCARDLESS_CONFIG": str(data / "settings.toml"),
            "ZOHO_GOCARDLESS__LOG": f"sqlite:///{data}/log.db",
            "ZOHO_GOCARDLESS__STORE": f"sqlite:///{data}/store.db",
            "ZOHO_GOCARDLESS__KEYS": f"file:{data}/keyring",
        }
        shutil.copy(ROOT / "deploy" / "settings.example.toml", data / "settings.toml")
        said = program(folder, "connect", "acme", **installation, ZOHO_GOCARDLESS_SECRET_GOCARDLESS_TOKEN="made-up")
        assert "gocardless.token" in said.stdout, said.stderr
        kept = (data / "store.db").stat()
        assert kept.st_uid == (NOBODY if os.geteuid() == 0 else os.geteuid())
        # Nothing of the tests' or the builder's tools is in what runs.
        listed = subprocess.run(
            [folder / "opt/venv/bin/python", "-c", "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"],
            capture_output=True, text=True, check=True, timeout=60, cwd=data, env=builder.environment,
        ).stdout.split()  # fmt: skip
        assert {"pip", "setuptools", "pytest"}.isdisjoint(listed)
        assert {canonicalize_name(name) for name in listed} <= set(pins(ROOT / "requirements-run.lock")) | {
            "zoho-gocardless"
        }
    finally:
        shutil.rmtree(folder)

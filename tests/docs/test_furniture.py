"""What stands around the code: `make help`, the editor's and the host's files, the hooks before a commit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent

#: Where text is kept in one form; what came from outside is kept as it came.
PLACES = ("*", ".*", ".ci/*", ".github/**/*", *(f"{room}/**/*" for room in ("adapters", "bench", "deploy", "docs")))
PLACES += tuple(f"{room}/**/*" for room in ("domain", "examples", "projections", "sandbox", "streams", "tests"))
AS_IT_CAME = ("tests/fixtures/", "tests/compat/")
BINARY = {".pyc", ".xz", ".whl", ".db", ".db-wal", ".db-shm"}


def texts():
    for place in PLACES:
        for path in sorted(ROOT.glob(place)):
            name = path.relative_to(ROOT).as_posix()
            binary = path.suffix in BINARY or path.name.startswith(".coverage") or path.name == ".git"
            kept = path.is_file() and not binary
            if kept and not name.startswith(AS_IT_CAME) and "__pycache__" not in name and ".egg-info" not in name:
                yield name, path.read_bytes()


def yaml(name):
    return YAML(typ="safe").load(ROOT / name)


def make(*words):
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def targets():
    (line,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return line.split()


def test_help_tells_of_every_target_and_is_what_make_alone_does():
    said = make("help")
    told = dict(re.findall(r"^make (\w+) +(\S.*)$", said, re.MULTILINE))
    assert list(told) == list(dict.fromkeys(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)))
    assert set(told) == set(targets())
    assert make() == said


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "STYLE.md", ".github/pull_request_template.md", "docs/index.md", ".ci/run"]
)
def test_every_target_that_is_named_is_there(name):
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert named
    assert named <= set(targets())


def test_all_text_has_one_form():
    """As `.editorconfig` tells editors: a line feed at the end of each line, the last one too, and no space before."""
    found = {name: content for name, content in texts() if content}
    assert {"Makefile", ".ci/run", ".editorconfig", "docs/index.md", "domain/ids.py"} <= set(found)
    wrong = {
        name
        for name, content in found.items()
        if not content.endswith(b"\n") or b"\r" in content or re.search(rb"[ \t]\n", content) or content[-2:] == b"\n\n"
    }
    assert wrong == set()
    assert {name for name, content in found.items() if b"\t" in content} <= {"Makefile"}


def test_each_hook_is_pinned_or_is_a_tool_of_ours():
    for repository in yaml(".pre-commit-config.yaml")["repos"]:
        if repository["repo"] == "local":
            for hook in repository["hooks"]:
                program = hook["entry"].split()[0]
                assert program.startswith(".venv/bin/"), hook
                assert (TOOLS / Path(program).name).exists(), hook
        else:
            assert re.fullmatch(r"v\d+\.\d+\.\d+", repository["rev"]), repository


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ("vendor.github-workflows", [".github/workflows/ci.yml"]),
        ("vendor.github-issue-forms", [".github/ISSUE_TEMPLATE/fault.yml", ".github/ISSUE_TEMPLATE/wish.yml"]),
        ("vendor.github-issue-config", [".github/ISSUE_TEMPLATE/config.yml"]),
    ],
)
def test_what_the_host_reads_fits_its_schema(schema, names):
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *names]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_host_runs_what_everybody_runs():
    (job,) = yaml(".github/workflows/ci.yml")["jobs"].values()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    python = next(step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    asked = re.search(r'^requires-python = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert SpecifierSet(asked[1]).contains(python)


def test_the_shell_scripts_are_well_formed():
    bash = shutil.which("bash")
    assert bash is not None
    for path in [ROOT / ".ci" / "run", *(ROOT / "examples").glob("*.sh")]:
        subprocess.run([bash, "-n", str(path)], check=True, timeout=30)

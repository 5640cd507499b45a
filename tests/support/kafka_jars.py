"""Apache Kafka without containers: Java, and the jars that Maven copies once into a cache folder outside the tree."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.servers_found import Missing, and_also

_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "pom.xml"
_JAVA: Final = 17  # the oldest that Kafka 4's server runs on
# 54 MB; 15 s on a fast line. Lower: a slow line never gets them; higher: a dead repository holds up the run.
_FETCH_TIMEOUT_S: Final = 600
# The smallest heap that carries a month of a test's topics without a long collection; three brokers are still under 1
# GB.
_HEAP: Final = "-Xmx384m"
# The second compiler and the parallel collector pay after minutes; a test's broker lives seconds, on few cores.
_QUICK_START: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


def java_command() -> list[str]:
    """How to run a class of Kafka: append its name and arguments. Fetches the jars if they are not there.

    Raises:
        Missing: no Java 17, no Maven, or the jars cannot be fetched.

    """
    java = _java()
    return [
        java,
        f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}",
        _HEAP,
        *_QUICK_START,
        "-cp",
        f"{_jars()}/*",
    ]


@cache
def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    reasons = []
    if java is None:
        reasons.append("no Java in JAVA_HOME or PATH")
    elif (version := _version_of(java)) < _JAVA:
        reasons.append(f"Java {version} is older than {_JAVA}")
    if not _marked(_cached()) and shutil.which("mvn") is None:
        reasons.append("no Maven (mvn) in PATH")
    if java is None or reasons:
        raise Missing(and_also(reasons))
    return java


def _version_of(java: str) -> int:
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else 0


def _cached() -> Path:
    """The folder of these very jars: another pom.xml has another one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "zoho-gocardless" / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def _marked(folder: Path) -> bool:
    return (folder / ".complete").exists()


def _jars() -> Path:
    folder = _cached()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second waits and finds them
        if not _marked(folder):
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    copy = [
        "mvn",
        "-q",
        "-B",
        "-f",
        str(_POM),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={folder}",
        "-DincludeScope=runtime",
    ]
    try:
        subprocess.run(copy, capture_output=True, text=True, check=True, timeout=_FETCH_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        raise Missing(f"Maven cannot fetch Kafka's jars: {(error.stdout or error.stderr).strip()[:300]}") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"Maven does not fetch Kafka's jars within {_FETCH_TIMEOUT_S} s") from None
    (folder / ".complete").touch()

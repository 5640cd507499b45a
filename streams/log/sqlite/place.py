"""Where the file may lie, and who may be the one worker of a group: file systems and file locks."""

import fcntl
import os
import re
import shlex
import subprocess  # one fixed command, without a shell
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from streams.log.interface import LogLocked, LogOnNetworkFileSystem
from streams.log.sqlite.faults import telling

# File systems whose locks or shared memory do not hold between machines. Others are taken as local.
NETWORK: Final = frozenset(
    {
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb",
            "smb2",
            "smb3",
            "smbfs",
            "9p",
            "afs",
            "afpfs",
            "webdav",
            "ncpfs",
            "ceph",
            "lustre",
            "glusterfs",
        ),
        *(
            "fuse.sshfs",
            "fuse.glusterfs",
            "fuse.ceph",
            "fuse.ceph-fuse",
            "fuse.s3fs",
            "fuse.gcsfuse",
            "fuse.rclone",
            "fuse.davfs",
        ),
        *(
            "fuse.mergerfs",
            "fuse.juicefs",
            "fuse.smbnetfs",
            "fuse.curlftpfs",
            "beegfs",
            "gpfs",
            "ocfs2",
            "gfs2",
            "macfuse",
        ),
    }
)
_MOUNTINFO = Path("/proc/self/mountinfo")
_BSD_MOUNT = re.compile(r"^.+? on (?P<point>/.*?) \((?P<kind>[^,)]+)", re.MULTILINE)
# Longer than any answer of a healthy machine: a dead network mount can hang the command.
_MOUNT_TIMEOUT_S: Final = 5.0
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,120}")
# Of this process's numbers: a container has its own, in which another process has the same one.
_SPACE: Final = Path("/proc/self/ns/pid")
# Characters of a command that are kept. Lower: its options are cut off. Higher: an error that nobody reads.
_SHOWN: Final = 200
_FILE_BYTES: Final = 4_096


def refuse_network(path: Path) -> None:
    """Refuse a file on a network file system, as far as it can be told.

    Raises:
        LogOnNetworkFileSystem: its file system is one of `NETWORK`.

    """
    kind = file_system_of(path.parent, mounts())
    if kind in NETWORK:
        raise LogOnNetworkFileSystem(
            f"the log would lie on a network file system ({kind})",
            str(path),
            "put it on a local disk; for several machines use Kafka",
        )


def file_system_of(folder: Path, table: list[tuple[str, str]]) -> str | None:
    """The kind of file system of a folder, by the longest mount point above it; None if the table does not say."""
    place = folder.resolve()
    best: tuple[int, str] | None = None
    for point, kind in table:
        if place.is_relative_to(point) and (best is None or len(point) >= best[0]):
            best = (len(point), kind)
    return best[1] if best else None


def mounts() -> list[tuple[str, str]]:
    """(mount point, kind) of every mount, later ones over earlier ones; empty where the system does not tell."""
    if _MOUNTINFO.exists():
        return parse_mountinfo(_MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
    if sys.platform == "darwin":
        listing = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False, timeout=_MOUNT_TIMEOUT_S)
        return parse_bsd_mount(listing.stdout)
    return []


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Read Linux's `/proc/self/mountinfo` (proc(5)): field 5 is the mount point, the kind follows the lone dash."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if dash and len(fields) > 4:
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            found.append((point, right.split(" ")[0]))
    return found


def parse_bsd_mount(text: str) -> list[tuple[str, str]]:
    """Read what `mount` prints on macOS: `//user@host/share on /Volumes/share (smbfs, nodev)`."""
    return [(match["point"], match["kind"]) for match in _BSD_MOUNT.finditer(text)]


@contextmanager
def hold_group(path: Path, group: str) -> Iterator[None]:
    """Hold the lock of a group beside the log; the system releases it when the process dies, however it dies.

    Raises:
        LogLocked: another worker, in this process or another, holds it.
        ValueError: the group's name cannot be a part of a file name.

    """
    if not _GROUP.fullmatch(group):
        raise ValueError("group: use 1 to 120 letters, digits, '.', '_' or '-'")
    lock = path.with_name(f"{path.name}-{group}.lock")
    with telling(path, "locking a group"):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise _locked(group, lock, _holder(descriptor)) from held
        _write(descriptor, "\n".join(_own()))
        try:
            yield
        finally:
            _write(descriptor, "")
    finally:
        # The file stays: removing it would let two workers lock two files of one name.
        os.close(descriptor)


# Who holds a lock stands in its file, for people: the lock itself is the system's.


class _Holder(NamedTuple):
    """A process: its number, the space in which that number means it ("" where the system has one only), what was
    started.
    """

    pid: str
    space: str
    command: str


def _own() -> _Holder:
    started = Path(sys.argv[0]).name
    words = [started, *sys.argv[1:]]
    if started == "__main__.py":  # as in `python -m`
        words = [Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]
    return _Holder(str(os.getpid()), _space(), shlex.join(words)[:_SHOWN])


def _space() -> str:
    try:
        return str(_SPACE.readlink())
    except OSError:
        return ""


def _write(descriptor: int, text: str) -> None:
    with suppress(OSError):  # a full disk must not keep anybody from working
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="replace"), 0)


def _holder(descriptor: int) -> _Holder | None:
    """Who holds the lock, as its file says; None when it does not: an earlier version wrote nothing there."""
    try:
        lines = os.pread(descriptor, _FILE_BYTES, 0).decode(errors="replace").split("\n", 2)
    except OSError:
        return None
    if len(lines) != 3 or not lines[0].isdecimal():
        return None
    shown = ["".join(letter for letter in line if letter.isprintable())[:_SHOWN] for line in lines]
    return _Holder(*shown)


def _locked(group: str, lock: Path, holder: _Holder | None) -> LogLocked:
    what = f"group {group} has a worker already"
    if holder is None:
        return LogLocked(what, str(lock), f"stop it, then try again; `fuser {lock}` names its process")
    if holder.space != _space():
        what = f"{what}: `{holder.command}`, in another container"
        return LogLocked(what, str(lock), "stop that container, then try again")
    remedy = f"stop it where it was started (`kill {holder.pid}` lets it finish its calls), then try again"
    return LogLocked(f"{what}: process {holder.pid}, `{holder.command}`", str(lock), remedy)

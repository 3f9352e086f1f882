"""Running a server as another user, because it refuses to run as root.

Responsible for who that user is, what it can reach, and for a place of its own where it cannot reach ours. Must not
know which server it is.

A checkout or a home may lie below a folder that this user cannot enter (a home folder with mode 0700, as root's is).
Then the programs are copied to, and the data kept in, a folder of root's below /var/lib, or below /var/tmp where that
cannot be written. (/var/tmp is the second choice because systems clear it of files that nobody touched for a month.)
Root owns the folder and nobody else may write to it; one that is not so is refused, since anybody may make folders in
/var/tmp. The user's own home is no such place: what root does in a folder of another user, that user can bend.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from deploy.errors import StartFailedError
from deploy.process import Command, Identity, Process

_CANDIDATES = ("postgres", "nobody")
_COMMON = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - checked below before anything in it is trusted


def identity_for_server(data: Path) -> Identity | None:
    """Whom to run the server as: the owner of its data, if it has any; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Identity(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    ordinary = sorted(entry.pw_name for entry in known.values() if entry.pw_uid != 0 and entry.pw_gid != 0)
    for name in (*_CANDIDATES, *ordinary):
        entry = known.get(name)
        if entry is not None and entry.pw_uid != 0:
            return Identity(name, entry.pw_uid, entry.pw_gid)
    raise StartFailedError(
        "PostgreSQL refuses to run as root, and this machine has no other user.",
        "Add one (useradd --system postgres), or run Tandem as an ordinary user.",
    )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


async def can_run(identity: Identity, *argv: str) -> bool:
    """Whether that user can execute this, with every folder on the way and every library it needs."""
    try:
        process = await Process.start(Command(argv, cwd=Path("/"), output=Path(os.devnull), identity=identity))
    except StartFailedError:
        return False
    try:
        return await process.wait() == 0
    finally:
        await process.stop()


async def can_enter(identity: Identity, folder: Path) -> bool:
    """Whether that user can reach files in this folder by name."""
    return await can_run(identity, "/bin/sh", "-c", 'cd "$1"', "sh", str(folder))


def place_of(identity: Identity) -> Path:
    """The folder of our own that this user can always reach; made if missing, refused if not ours."""
    reasons = []
    for common in _COMMON:
        place = common / f"tandem-{identity.name}"
        try:
            place.mkdir(mode=0o755, exist_ok=True)
            found = place.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise StartFailedError(
                    f"{place} is not a folder that only this user may write to, so programs in it cannot be trusted.",
                    "Somebody else made it. Look at what is in it, remove it, and start again.",
                )
            place.chmod(0o755)  # whatever the umask
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
        else:
            return place
    raise StartFailedError(
        f"The user {identity.name}, whom the server must run as, has no place it can reach ({'; '.join(reasons)}).",
        "Let it enter the folders on the way to the checkout and to --home, or run Tandem as an ordinary user.",
    )


def data_place(identity: Identity, home: Path) -> Path:
    """Where the data of a home live that this user cannot reach: the same place for the same home."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    place = place_of(identity) / f"data-{digest}"
    place.mkdir(mode=0o755, exist_ok=True)
    place.chmod(0o755)
    (place / "belongs-to").write_text(f"{home}\n")
    return place


def copy_of(identity: Identity, programs: Path, siblings: tuple[Path, ...], label: str) -> Path:
    """A copy of a tree of programs that this user can reach, made once; `siblings` keep their place beside it."""
    place = place_of(identity) / label
    if not place.exists():
        work = Path(tempfile.mkdtemp(prefix=f".{label}-", dir=place.parent))
        try:
            for tree in (programs, *siblings):
                target = work / tree.relative_to(programs.parent.parent)
                shutil.copytree(tree, target, symlinks=True, ignore=shutil.ignore_patterns("include", "pgxs", "doc"))
            _make_readable(work)
            try:
                work.rename(place)
            except OSError:
                if not place.exists():  # else another start was quicker, and its copy is as good
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place / programs.relative_to(programs.parent.parent)


def _make_readable(tree: Path) -> None:
    """For everybody, nothing writable, whatever the umask under which the originals were installed."""
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


async def run_as(identity: Identity | None, argv: tuple[str, ...], output: Path) -> int:
    """Run a program to its end as that user (None: as ourselves); its output is appended to the file."""
    process = await Process.start(Command(argv, cwd=Path("/"), output=output, identity=identity))
    try:
        return await process.wait()
    finally:
        await process.stop()

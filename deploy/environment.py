"""Makes `.venv` from the locks, and does nothing when it is up to date.

Responsible for `make setup`: finds fault with the Python it runs under, creates the environment, installs exactly what
`requirements/dev.txt` names (hashes checked), then the project itself. Uses the standard library alone, since it runs
before anything is installed. Must not know what the project does.

The stamp in `.venv` is a digest of everything the environment is made from, so a repeated call costs one read and needs
no network, and a changed lock installs again. Simultaneous calls (two `make` in two terminals) wait for each other.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".tandem-setup"
LOCK = ROOT / "requirements" / "dev.txt"
OLDEST = (3, 11)


def digest() -> str:
    """Everything that, when it changes, asks for another install."""
    import tomllib  # not before the version was checked

    made_from = hashlib.sha256(LOCK.read_bytes())
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # Of pyproject.toml what installing reads; the settings of tools change often and ask for nothing.
    installed = [described["build-system"], described["project"], described["tool"]["setuptools"]]
    made_from.update(repr(installed).encode())
    # A moved checkout must be installed again: the environment's scripts and the project's path entry are absolute.
    made_from.update(str(ROOT).encode())
    return made_from.hexdigest()


def is_up_to_date() -> bool:
    """Whether the environment was made from what lies here now, and its Python still runs."""
    if not STAMP.is_file() or STAMP.read_text() != digest():
        return False
    return (VENV / "bin" / "python").exists()


def run(*command: str, failing: str) -> None:
    """Run a step; on failure end with what the step is for and how to mend it."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit("setup: " + failing)


def has_working_pip() -> bool:
    """Whether the environment that is there can be installed into, rather than made anew."""
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    probe = [str(python), "-c", "import sys, pip; sys.exit(sys.version_info < %r)" % (OLDEST,)]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def create() -> None:
    """A new, empty environment of the running Python, in place of one that is missing or broken."""
    try:
        import ensurepip  # noqa: F401 - Debian and Ubuntu split this off, and `venv` then fails half way with a long trace
        import venv  # noqa: F401
    except ImportError:
        version = "python%d.%d" % sys.version_info[:2]
        sys.exit(
            "setup: %s cannot make virtual environments: its module `venv` is not complete. On Debian and Ubuntu "
            "install the package %s-venv (or python3-venv), or name another Python: make setup PYTHON=python3.12"
            % (sys.executable, version)
        )
    run(sys.executable, "-m", "venv", "--clear", str(VENV), failing="could not create %s; see above" % VENV)


def install() -> None:
    """What the lock names, each file checked against its hash, then the project itself."""
    python = str(VENV / "bin" / "python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input")
    run(
        *(*pip, "--require-hashes", "--requirement", str(LOCK)),
        failing="the packages could not be installed. Without a network: run it again when there is one, nothing is "
        "lost. A hash that does not match: the package is not the one that was locked; do not go on.",
    )
    run(
        *(*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)),
        failing="the project itself could not be installed into .venv; see above",
    )


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(
            "setup: Tandem needs Python %d.%d or newer, %s is %s. Install one, or name it: make setup PYTHON=python3.12"
            % (OLDEST + (sys.executable, sys.version.split()[0]))
        )
    if is_up_to_date():
        return
    with LOCK.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if is_up_to_date():
            return
        print("setup: installing into .venv (once; it stays until a lock file changes)", flush=True)
        STAMP.unlink(missing_ok=True)
        if not has_working_pip():
            create()
        install()
        STAMP.write_text(digest())


if __name__ == "__main__":
    main()

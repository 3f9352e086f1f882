"""`python -m …fake`: the fake in the foreground. `tandem fake hubspot` starts the same."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from .knobs import WrongKnobError, from_words


def main() -> int:
    """Runs it."""
    from .server import serve

    parser = argparse.ArgumentParser(description="A fake of HubSpot's CRM API on loopback.")
    parser.add_argument("--port", type=int, default=8480, help="0 takes a free one; the first line of output tells it")
    parser.add_argument("--data", type=Path, help="where its SQLite file is kept; without, in a temporary folder")
    parser.add_argument("knobs", nargs="*", metavar="KNOB=VALUE")
    parser.add_argument("--with-parent", action="store_true", help="ends when its standard input does")
    asked = parser.parse_args()
    try:
        knobs, ordered = from_words(asked.knobs)
    except WrongKnobError as error:
        parser.error(str(error))

    def ready(port: int) -> None:
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()

    if asked.with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    with TemporaryDirectory(prefix="hubspot-fake-") as temporary:
        serve(asked.data or Path(temporary), asked.port, knobs, ordered, ready)
    return 0


def _end_with_input() -> None:
    while os.read(0, 65536):  # not through sys.stdin, whose lock a daemon thread would still hold at the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

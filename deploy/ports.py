"""Free ports on the loopback address, the same ones again where they are still free.

Must not know who listens on them.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the range that systems hand out to outgoing connections (32768 and up on Linux), so that a port which was free
# when a server stopped has not become some client's when it starts again.
_FIRST, _LAST = 20_000, 31_999


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def pick(file: Path, names: Sequence[str]) -> dict[str, int]:
    """A free port for each name, remembered in the file; a remembered one is kept where it is still free."""
    remembered = _read(file)
    picked: dict[str, int] = {}
    for name in names:
        port = remembered.get(name)
        while port is None or port in picked.values() or not is_free(port):
            port = random.randint(_FIRST, _LAST)
        picked[name] = port
    file.write_text(json.dumps(picked))
    return picked


def _read(file: Path) -> dict[str, int]:
    """What was remembered; a file that is missing or damaged only means other ports."""
    try:
        remembered = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return (
        {name: port for name, port in remembered.items() if isinstance(port, int)}
        if isinstance(remembered, dict)
        else {}
    )

"""For developers: resolves what a server needs from Maven's repository and prints the list to commit.

Responsible for the lists `kafka-jars.txt` and `postgres-jars.txt` alone; nothing that runs imports it. Each line of the
lists' headers says with which arguments it was made:

    python -m deploy.lock_artifacts group:name:version ... [--alone group:name:version ...] > LIST

Each coordinate is resolved by itself with what it needs, and the first to name a library decides its version: resolved
together, jgo 3.2.0 gave Kafka 4.2.0 the clients of 3.9.1, from the list of versions of another library's parent. What
follows `--alone` is taken without what it needs.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext


def lock(coordinates: list[str], alone: list[str]) -> list[str]:
    """The lines of the list, sorted by coordinate."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        artifacts = []
        for coordinate in coordinates:
            root = context.create_dependency(coordinate)
            root.scope = "compile"
            inputs, needed = context.resolver.resolve([root])
            artifacts += [dependency.artifact for dependency in inputs]
            artifacts += [dependency.artifact for dependency in needed if dependency.scope in {"compile", "runtime"}]
        decided: dict[str, str] = {}
        for artifact in artifacts:
            decided.setdefault(f"{artifact.groupId}:{artifact.artifactId}", artifact.version)
        for coordinate in (*alone, *(f"{name}:{version}" for name, version in decided.items())):
            file = context.create_dependency(coordinate).artifact.resolve()
            found[coordinate] = hashlib.sha256(file.read_bytes()).hexdigest()
    return [f"{digest}  {coordinate}" for coordinate, digest in sorted(found.items())]


def main() -> None:
    words = sys.argv[1:]
    split = words.index("--alone") if "--alone" in words else len(words)
    header = "# Made by: python -m deploy.lock_artifacts " + " ".join(words)
    sys.stdout.write("\n".join([header, *lock(words[:split], words[split + 1 :])]) + "\n")


if __name__ == "__main__":
    main()

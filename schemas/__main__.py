"""Keeps the schemas of a released version: `python -m schemas VERSION`, once when it is released.

Responsible for `schemas/released/<version>/`, against which the tests check that old and new versions read each
other. Each file is self-contained.
"""

from __future__ import annotations

import json
import sys

from fastavro.schema import load_schema

from schemas.registry import FOLDER, RELEASED, own


def main() -> None:
    """Writes the files; what is released is never changed."""
    (version,) = sys.argv[1:]
    folder = RELEASED / version
    folder.mkdir(parents=True)
    for name in own():
        schema = load_schema(str(FOLDER / f"tandem.{name}.avsc"))
        (folder / f"{name}.json").write_text(json.dumps(_plain(schema), indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{len(own())} schemas in {folder}\n")


def _plain(schema: object) -> object:
    """Without what fastavro notes for itself."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if not key.startswith("__")}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    main()

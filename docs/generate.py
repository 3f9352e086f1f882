"""Writes the pages of docs/ that are made from the code: `python -m docs.generate`.

Responsible for where the pages lie. Must not hold a word of them; tests compare the pages with what this would
write.
"""

from __future__ import annotations

import sys
from pathlib import Path

from connectors.registry import OWN, find
from console.reference import commands_markdown
from rules.config import reference_markdown
from tests.connectors.hubspot.fake import reference as fake_hubspot

DOCS = Path(__file__).resolve().parent


def configuration() -> str:
    """The reference of sync.yaml with the connectors that come with Tandem."""
    return reference_markdown({name: find(name) for name in OWN})


PAGES = {
    "reference/commands.md": commands_markdown,
    "reference/configuration.md": configuration,
    "reference/fake-hubspot.md": fake_hubspot.page,
}


def main() -> None:
    """Writes all pages that are out of date, and names them."""
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")


if __name__ == "__main__":
    main()

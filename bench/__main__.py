"""All benchmarks, one after the other: `python -m bench [--quick]`. Each prints one line; the status is that of the worst."""

from __future__ import annotations

import argparse
import subprocess
import sys

FULL = [
    ("bench.codec", []),
    ("bench.rules", []),
    ("bench.latency", []),
    ("bench.latency", ["--workers", "2"]),
    ("bench.throughput", []),
    ("bench.hubspot", []),
    ("bench.hubspot_sync", ["edits"]),
    ("bench.hubspot_sync", ["first"]),
]
QUICK = [
    ("bench.codec", []),
    ("bench.rules", []),
    ("bench.latency", ["--seconds", "10"]),
    ("bench.throughput", ["--records", "50000"]),
]


def main() -> int:
    """Runs them and sums up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs, a few minutes in all")
    failed = []
    chosen = QUICK if parser.parse_args().quick else FULL
    for module, arguments in chosen:
        print(f"== {module} {' '.join(arguments)}".rstrip(), flush=True)
        if subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode:
            failed.append(module)
    print(
        f"bench: {len(chosen)} run, {'all within their limits' if not failed else 'beyond their limits: ' + ', '.join(failed)}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Python's collector of cyclic garbage, set for a process that makes many records and few cycles.

With its defaults it walks through all that lives each time some hundreds of objects more have been made than freed: a third of a worker's
processor time went there (measured with `bench.throughput`: 429 to 472 µs a record with the defaults, 306 to 357 with thresholds of this kind).
"""

from __future__ import annotations

import gc

# Net objects before the youngest generation is looked at, then how often it is for one look at the next, and at the oldest.
THRESHOLDS = (100_000, 50, 100)


def calm() -> None:
    """Takes what has been loaded so far out of the collector's sight, and lets it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

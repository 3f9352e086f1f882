"""The version of an image: which of two images of one record is the newer.

A position in the app's own order (log position, `updated_at`) is enough for apps with a total order. PostgreSQL has none across its log and
its reads: a commit is in the log before it is visible. So an image from a plain read carries what its snapshot sees, and one from the
log or from our own write carries the transaction that made it (design, "Every image has a version").
"""

from __future__ import annotations

import msgspec


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """What a read could see, as PostgreSQL's pg_snapshot: all transactions below `xmin`, none from `xmax` on, between them all but `running`."""

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    def sees(self, transaction: int) -> bool:
        """Whether what `transaction` committed was visible."""
        if transaction < self.xmin:
            return True
        return transaction < self.xmax and transaction not in self.running


class Version(msgspec.Struct, frozen=True, array_like=True):
    """Where an image stands in its account's order.

    `position`: the app's own order. Log: the commit's; our own write: taken while the row was locked; a read: taken before it.
    `writer`: the transaction that made the image, where the app numbers them (64 bits, never wraps).
    `seen`: what the read could see, where the image comes from a read without a lock.
    `step`: the order within one position (changes of one transaction).
    """

    position: int
    writer: int | None = None
    seen: Snapshot | None = None
    step: int = 0

    def newer_than(self, other: Version) -> bool:
        """Whether an image of this version replaces one of `other`. Equal versions do not replace each other."""
        if self.seen is not None and other.seen is None and other.writer is not None:
            return self.seen.sees(other.writer)
        if other.seen is not None and self.seen is None and self.writer is not None:
            return not other.seen.sees(self.writer)
        return (self.position, self.step) > (other.position, other.step)


NEVER = Version(-1)

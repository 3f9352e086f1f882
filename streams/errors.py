"""Errors of the streams, named by how one recovers.

Responsible for the names alone. Troubles of an account have names of their own (`connectors.base`), bad bytes too
(`schemas`).
"""

from __future__ import annotations


class StreamsError(Exception):
    """What goes wrong between us and Kafka, or on our disk."""


class RefusedError(StreamsError):
    """Another worker owns the partition: this process ends, and a new one asks for partitions anew."""


class OversizedError(StreamsError):
    """One decision changes more than a record batch may hold: a fault of the rules, which must work in slices."""


class LayoutError(StreamsError):
    """Topics, or a state folder, that are not as we need them: a person must look. The message says what to do."""

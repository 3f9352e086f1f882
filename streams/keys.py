"""The keys of a partition's state.

Responsible for their form alone. A name is ended by a zero byte, so that no name can be the beginning of another.

    p/<topic>                     the offset of the last input of the topic that the state holds
    r/<account>\\0<errand>         an order to the account that is not yet carried out (`streams.errands`)
    k/<account>\\0                the cursor of the account's capture, and the number of its log (`streams.memory`)
    k/<account>\\0<number><key>   what its connector has noted since that log began
    c/<connection>\\0<rules' key>  the rules' state and its indexes; the indexes are on the disk alone, and not in the
    changelog \\0owner, \\0fence, \\0written   who writes the state; the fence of deliveries; when the disk was last
    written
"""

from __future__ import annotations

from streams.topics import MARKER

OWNER = MARKER
FENCE = b"\0fence"
WRITTEN = b"\0written"
RULES = b"c/"


def position(topic: str) -> bytes:
    """Of the last input of the topic."""
    return b"p/" + topic.encode()


def errands(account: str) -> bytes:
    """The prefix of the account's errands."""
    return b"r/" + account.encode() + b"\0"


def memory(account: str) -> bytes:
    """Of the account's capture; and the prefix of what its connector has noted."""
    return b"k/" + account.encode() + b"\0"


def connection(name: str) -> bytes:
    """The prefix of what the rules keep for a connection."""
    return RULES + name.encode() + b"\0"


def split_rules(key: bytes) -> tuple[bytes, bytes]:
    """A key of the rules: the connection's prefix, and the key as the rules know it."""
    end = key.index(b"\0") + 1
    return key[:end], key[end:]

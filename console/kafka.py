"""Kafka as commands use it: an installation's topics as they are, and its troubles in a user's words.

Responsible for finding topics without creating any, and for turning the client's errors into ours. Must not know what
is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError, KafkaError

from console.errors import FailedError, did_you_mean
from streams.broker import Broker
from streams.errors import LayoutError
from streams.topics import Topics


def silence() -> None:
    """Keeps the client from writing to the terminal what its exceptions say anyway."""
    for name in ("aiokafka", "kafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def telling(broker: Broker) -> Iterator[None]:
    """Turns what Kafka raises into what a user can do."""
    try:
        yield
    except AuthenticationFailedError as error:
        raise FailedError(
            f"The broker at {', '.join(broker.servers)} refuses the login.", "Look at broker.sasl in the file."
        ) from error
    except (KafkaConnectionError, OSError) as error:
        raise FailedError(
            f"The broker at {', '.join(broker.servers)} does not answer.",
            "Look whether it runs and can be reached from here, and whether it wants TLS or a login (broker.tls, broker.sasl).",
        ) from error
    except KafkaError as error:
        raise FailedError(f"The broker at {', '.join(broker.servers)} refuses: {error}.") from error
    except LayoutError as error:
        raise FailedError(f"The topics are not as they must be: {error}.") from error


async def topics_of(broker: Broker, installation: str) -> Topics:
    """The installation's topics as they are. Raises `FailedError` where there are none."""
    found, existing = await _look_for(broker, installation)
    if found is None:
        others = [name.removesuffix(".config") for name in existing if name.endswith(".config")]
        hint = did_you_mean(installation, others) if others else ""
        raise FailedError(
            f"The broker at {', '.join(broker.servers)} holds nothing of an installation {installation}.",
            f"Run `tandem up` first. {hint}".strip(),
        )
    return found


async def existing_topics(broker: Broker, installation: str) -> Topics | None:
    """The same; None where there are none."""
    return (await _look_for(broker, installation))[0]


async def _look_for(broker: Broker, installation: str) -> tuple[Topics | None, set[str]]:
    admin = AIOKafkaAdminClient(**broker.client(), client_id="tandem")
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        topics = Topics(installation)
        if not {topics.inbox, topics.config, topics.commands} <= existing:
            return None, existing
        (described,) = await admin.describe_topics([topics.inbox])
        return Topics(installation, len(described["partitions"])), existing
    finally:
        await admin.close()

"""A parent to be killed: starts Kafka and PostgreSQL on the home it is given, tells their addresses, and waits.

On Ctrl-C it stops them, as every command of Tandem does, and says so.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from deploy.kafka import EmbeddedKafka
from deploy.postgres import EmbeddedPostgres


async def main(home: Path) -> None:
    async with EmbeddedKafka(home) as kafka, EmbeddedPostgres(home) as postgres:
        told = {"pids": [kafka.pid, postgres.pid], "kafka": kafka.bootstrap, "postgres": postgres.url()}
        print(json.dumps(told), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))
    print("stopped", flush=True)

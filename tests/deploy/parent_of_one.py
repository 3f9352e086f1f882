"""A parent to be killed: starts `sleep` through `deploy.process`, tells its pid, and waits for what comes.

With `--fork` it forks a child that holds copies of all its descriptors; with `--thread` it starts the process in a
thread that then ends. On Ctrl-C it stops the process itself and tells what it saw.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from deploy.process import Command, Process

SLEEP = Command(("sleep", "1000"))


def tell(**words: object) -> None:
    print(json.dumps(words), flush=True)


def start_in_a_thread() -> Process:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(asyncio.run(Process.start(SLEEP))))
    thread.start()
    thread.join()
    return started[0]


def main() -> None:
    process = start_in_a_thread() if "--thread" in sys.argv else asyncio.run(Process.start(SLEEP))
    fork = None
    if "--fork" in sys.argv:
        fork = os.fork()
        if fork == 0:
            signal.pause()
    try:
        tell(child=process.pid, fork=fork)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        state = "running" if process.returncode is None else "ended"
        tell(child_when_interrupted=state, stopped=asyncio.run(process.stop()))


if __name__ == "__main__":
    main()

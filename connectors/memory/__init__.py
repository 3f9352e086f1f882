"""Apps that live in the memory of this process, behind the same interface as the real ones.

For tests, simulation and trying things out: the twin passes the contract suite of the connectors, so what runs against
it needs no mocks. `make_app` makes an app; people edit it through `App`, Tandem through `MemoryConnector`; `App.knobs`
and `App.gates` make it misbehave.
"""

from connectors.memory.app import App, Knobs, find_app, forget_app, make_app
from connectors.memory.connector import MemoryConnector
from connectors.memory.gates import Gates
from connectors.memory.polled import PolledConnector
from connectors.memory.table import RefusedError

__all__ = [
    "App",
    "Gates",
    "Knobs",
    "MemoryConnector",
    "PolledConnector",
    "RefusedError",
    "find_app",
    "forget_app",
    "make_app",
]

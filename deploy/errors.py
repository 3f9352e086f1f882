"""The errors of this layer, named by how one recovers. Each says what happened and what to do about it.

Must not know who catches them. Nothing here is retried by itself: a person starts these servers.
"""


class DeployError(Exception):
    """A server or process of ours is not as it should be. `remedy` is a sentence for the person at the keyboard."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n{remedy}")
        self.message = message
        self.remedy = remedy


class InUseError(DeployError):
    """Another process holds this home: stop that one, or take another home."""


class StartFailedError(DeployError):
    """The server did not come up; the message ends with the last lines of its log."""


class ServerEndedError(DeployError):
    """A server that was up ended by itself: start it again; its data are kept."""


class FetchFailedError(DeployError):
    """A file could not be fetched: try again when the network is back."""


class ChecksumError(DeployError):
    """A fetched file is not the one that was pinned. It was thrown away; trying again is no remedy."""

"""One owner a folder; the same ports again where they are free."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
from pathlib import Path

import pytest

from deploy import claim as claims
from deploy import ports
from deploy.claim import Claim
from deploy.errors import InUseError, StartFailedError


async def test_a_folder_that_is_in_use_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    first, second = Claim(tmp_path, "Kafka"), Claim(tmp_path, "Kafka")
    await first.take()
    with pytest.raises(InUseError, match="in use by this very process") as refused:
        await second.take()
    assert "--home" in refused.value.remedy
    first.release()
    await second.take()
    second.release()


async def test_the_owner_is_named_by_its_pid(tmp_path: Path) -> None:
    with (tmp_path / "owner.lock").open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        theirs.write("4711\n")
        theirs.flush()
        with pytest.raises(InUseError, match="process 4711"):
            await Claim(tmp_path, "Kafka").take()


async def test_a_claim_waits_for_the_server_of_an_owner_that_died(tmp_path: Path) -> None:
    closing = os.open(tmp_path / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(closing, fcntl.LOCK_EX)
    claim = Claim(tmp_path, "Kafka")
    taking = asyncio.create_task(claim.take())
    await asyncio.wait({taking}, timeout=0.2)
    assert not taking.done()
    os.close(closing)
    await asyncio.wait_for(taking, timeout=5)
    claim.release()


async def test_a_server_that_does_not_close_is_named_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLOSING_SECONDS", 0.1)
    closing = os.open(tmp_path / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(closing, fcntl.LOCK_EX)
    claim = Claim(tmp_path, "Kafka")
    with pytest.raises(InUseError, match="still runs"):
        await claim.take()
    os.close(closing)
    await claim.take()  # the failed one holds nothing back
    claim.release()


async def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(StartFailedError, match="cannot use the folder"):
        await Claim(tmp_path / "home" / "kafka", "Kafka").take()


def test_the_same_ports_are_picked_again(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = ports.pick(file, ("broker", "controller"))
    assert len(set(first.values())) == 2
    assert ports.pick(file, ("broker", "controller")) == first


def test_a_port_that_is_taken_meanwhile_is_replaced_and_the_new_one_remembered(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = ports.pick(file, ("broker", "controller"))
    with socket.create_server((ports.LOOPBACK, first["broker"])):
        second = ports.pick(file, ("broker", "controller"))
    assert second["broker"] != first["broker"]
    assert second["controller"] == first["controller"]
    assert ports.pick(file, ("broker", "controller")) == second


@pytest.mark.parametrize("content", ["", "{", "[1]", json.dumps({"broker": "yes"})])
def test_a_damaged_memory_of_ports_only_means_other_ports(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(content)
    assert ports.is_free(ports.pick(file, ("broker",))["broker"])

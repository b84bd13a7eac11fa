"""To whom a connection belongs: asked of the kernel, by the address of its other end."""

from __future__ import annotations

import os
import socket

import pytest

from daq.api.door import local_peers
from daq.api.door.access import Access, Knock
from daq.api.door.local_peers import is_loopback, owner_of_peer
from daq.config import UserConfig
from daq.core import AuthenticationError, PermissionDeniedError

MOVE, STOP = "/daq.HardwareService/MoveAbsolute", "/daq.HardwareService/StopMotion"


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def pair(request):
    """A connection to a server on that address: our end and the peer's address."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as server:
        try:
            if request.param == "::":
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.bind((request.param, 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
        server.listen()
        target = "127.0.0.1" if request.param == "::" else request.param
        with socket.create_connection((target, server.getsockname()[1])) as client:
            accepted, _ = server.accept()
            with accepted:
                yield accepted, client


def test_the_owner_of_the_other_end_is_found(pair):
    accepted, _ = pair
    assert owner_of_peer(accepted.getpeername(), accepted.getsockname()) == os.geteuid()


def test_of_a_connection_that_was_left_nobody_is_the_owner(pair):
    """The kernel gives root as the owner of what no process holds any more."""
    accepted, client = pair
    client.close()
    assert owner_of_peer(accepted.getpeername(), accepted.getsockname()) is None


LINE = (
    "   1: 0100007F:C001 0100007F:1388 {state} 00000000:00000000 00:00000000 00000000  1234        "
    "0 {inode} 1 0000000000000000 20 4 0 10 -1\n"
)


@pytest.mark.parametrize(
    ("state", "inode", "expected"),
    [("01", "77", 1234), ("01", "0", None), ("06", "0", None), ("04", "77", None)],
)
def test_only_a_connection_that_stands_and_is_held_has_an_owner(
    tmp_path, monkeypatch, state, inode, expected
):
    table = tmp_path / "tcp"
    table.write_text("  sl  local_address rem_address\n" + LINE.format(state=state, inode=inode))
    monkeypatch.setattr(local_peers, "_TABLES", (table, tmp_path / "none"))
    assert owner_of_peer(("127.0.0.1", 0xC001), ("127.0.0.1", 5000)) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
     ("bench.lab", False), ("fe80::1%eth0", False)],
)  # fmt: skip
def test_which_addresses_are_this_machine(host, expected):
    assert is_loopback(host) is expected


OURS, OTHERS = Knock(is_near=True, uid=1000), Knock(is_near=True, uid=1001)
FAR = Knock(is_near=False, uid=1000)
USERS = {
    "maria": UserConfig("0123456789abcdef-maria"),
    "wall": UserConfig("0123456789abcdef-wall", "read-only"),
}


def test_the_daemons_own_user_and_root_need_no_token_on_this_machine():
    for users in ({}, USERS):
        access = Access(users, is_open=False, owners=(0, 1000))
        assert access.user(MOVE, None, None, OURS) == ""
        assert access.user(MOVE, None, None, Knock(is_near=True, uid=0)) == ""


@pytest.mark.parametrize("knock", [OTHERS, FAR, Knock(), Knock(is_near=True)])
def test_everybody_else_is_told_how_to_get_one(knock):
    access = Access({}, is_open=False, owners=(0, 1000))
    with pytest.raises(AuthenticationError, match="the daemon belongs to") as caught:
        access.user(MOVE, None, None, knock)
    assert "--token-file" in caught.value.advice
    with_tokens = Access(USERS, is_open=False, owners=(0, 1000))
    with pytest.raises(AuthenticationError, match="asks for a token"):
        with_tokens.user(MOVE, None, None, knock)
    token = f"Bearer {USERS['maria'].token}"
    assert with_tokens.user(MOVE, token, None, knock) == "maria"


def test_a_daemon_that_is_told_so_serves_everybody():
    assert Access({}, is_open=True, owners=()).user(MOVE, None, None, FAR) == ""


def test_a_token_that_is_shown_counts_also_for_the_owner():
    access = Access(USERS, is_open=False, owners=(1000,))
    with pytest.raises(PermissionDeniedError):
        access.user(MOVE, f"Bearer {USERS['wall'].token}", None, OURS)
    with pytest.raises(AuthenticationError, match="does not know"):
        access.user(MOVE, "Bearer 0123456789abcdef-nobody", None, OURS)


def test_every_role_may_stop():
    access = Access(USERS, is_open=False, owners=())
    wall = f"Bearer {USERS['wall'].token}"
    assert access.user(STOP, wall, None) == "wall"
    assert access.user("/daq.ControlService/StopScript", wall, None) == "wall"

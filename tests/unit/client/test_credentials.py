from __future__ import annotations

from pathlib import Path

import pytest

from daq.client import AsyncClient, Credentials
from daq.core import ConfigurationError
from tests.unit.client.fake_daemon import FakeDaemon


def test_a_token_and_the_user_travel_with_every_call_and_the_token_stays_secret() -> None:
    credentials = Credentials(token="s3cret")
    assert credentials.metadata("ada") == {
        "x-daq-user": "ada",
        "authorization": "Bearer s3cret",
    }
    assert "s3cret" not in repr(credentials)
    assert Credentials().metadata("Ærøskøbing") == {}


def test_tls_is_used_where_it_is_asked_for() -> None:
    assert Credentials().context() is None
    assert Credentials(tls=True).context() is not None
    with pytest.raises(ConfigurationError, match="a certificate cannot be used"):
        Credentials(certificate_authority=Path("/nowhere/ca.pem")).context()


def test_a_daemon_without_tls_is_told_apart_from_one_with_it() -> None:
    import asyncio

    from daq.core import CommunicationError

    async def ask(address: str) -> None:
        async with AsyncClient(address, credentials=Credentials(tls=True), timeout=5) as client:
            await client.info()

    with FakeDaemon() as daemon, pytest.raises(CommunicationError):
        asyncio.run(ask(daemon.address))


@pytest.mark.parametrize(
    ("host", "options", "warned"),
    [
        ("bench.lab", {"token": "s3cret"}, True),
        ("10.0.0.7", {"token": "s3cret"}, True),
        ("::ffff:10.0.0.7", {"token": "s3cret"}, True),
        ("bench.lab", {"token": "s3cret", "tls": True}, False),
        ("bench.lab", {}, False),
        ("127.0.0.1", {"token": "s3cret"}, False),
        ("::1", {"token": "s3cret"}, False),
        ("localhost", {"token": "s3cret"}, False),
    ],
)
def test_a_token_in_clear_for_another_machine_is_warned_about_once(
    monkeypatch, caplog, host, options, warned
):
    monkeypatch.setattr("daq.client.rpc.credentials._WARNED", set())
    for _ in range(3):
        Credentials(**options).warn_in_clear(host)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned
    assert all(f"sent to {host} in clear" in line and "s3cret" not in line for line in said)

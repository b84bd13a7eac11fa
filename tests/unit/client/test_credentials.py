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

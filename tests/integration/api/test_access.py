"""TLS and tokens on the wire: grpcio, our own client and Arrow Flight knock at the door."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import grpc
import pyarrow.flight as fl
import pytest
import trio
import trustme

from daq.api import read_access, serve_api
from daq.api.flight.flight import serve_flight
from daq.client import AsyncClient, Credentials
from daq.config import ServerConfig
from daq.core import AuthenticationError, CommunicationError, PermissionDeniedError
from tests.integration.api.harness import in_asyncio, in_thread, serving

TOKEN, READER = "0123456789abcdef-maria", "0123456789abcdef-wall"
QUIET = {"stage": {"driver": "simulated.stage", "velocity": 1000.0}}


@dataclass(frozen=True)
class Files:
    """What the daemon and its clients are given."""

    folder: Path
    ca: Path
    stranger: Path
    """Another authority."""
    certificate: Path
    key: Path
    client: Path
    """A client's certificate with its key, for jo."""
    tokens: Path

    def server(self, *options: str) -> ServerConfig:
        given = {
            "tls": {"tls_certificate": self.certificate, "tls_key": self.key},
            "mutual": {"tls_client_ca": self.ca},
            "tokens": {"token_file": self.tokens},
        }
        return ServerConfig(**{k: v for each in options for k, v in given[each].items()})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    names = ("ca", "stranger", "certificate", "key", "client", "tokens")
    made = Files(folder, *(folder / name for name in names))
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(made.ca))
    trustme.CA().cert_pem.write_to_path(str(made.stranger))
    daemon = ca.issue_cert("127.0.0.1")
    made.certificate.write_bytes(b"".join(pem.bytes() for pem in daemon.cert_chain_pems))
    daemon.private_key_pem.write_to_path(str(made.key))
    jo = ca.issue_cert("jo@lab", common_name="jo")
    jo.private_key_and_cert_chain_pem.write_to_path(str(made.client))
    made.tokens.write_text(
        f'[maria]\ntoken = "{TOKEN}"\n[wall]\ntoken = "{READER}"\nrole = "read-only"\n'
    )
    made.tokens.chmod(0o600)
    return made


@contextlib.asynccontextmanager
async def behind(files, directory, *options):
    """The API behind a door with these options; gives what serves and its address."""
    async with serving(directory, QUIET) as served, trio.open_nursery() as nursery:
        # With tokens, this test is somebody else's: its own user would need none.
        owners = () if "tokens" in options else None
        access = read_access(files.server(*options), owners=owners)
        yield served, await nursery.start(serve_api, served.services, "127.0.0.1", 0, access)
        nursery.cancel_scope.cancel()


def bearer(token):
    return [("authorization", f"Bearer {token}")]


async def test_a_strangers_client_needs_the_token_and_its_user_is_on_record(tmp_path, stubs, files):
    def client(address):
        pem = files.ca.read_bytes()
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(pem)) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            start = stubs.daq.StartRequest(script_id="knife.py", user="somebody else")
            seen = {}
            for what, metadata in {
                "none": [],
                "wrong": bearer("x" * 20),
                "reader": bearer(READER),
                "control": [*bearer(TOKEN), ("x-daq-user", "eve")],
            }.items():
                try:
                    seen[what] = control.StartScript(start, metadata=metadata, timeout=10)
                except grpc.RpcError as error:
                    kind = dict(error.trailing_metadata())["x-daq-error-kind"]
                    seen[what] = (error.code(), kind)
            info = control.GetDaemonInfo(
                stubs.daq.DaemonInfoRequest(), metadata=bearer(READER), timeout=10
            )
            alive = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
            return seen, info.version, alive

    async with behind(files, tmp_path, "tls", "tokens") as (served, address):
        seen, version, alive = await in_thread(client, address)
        assert served.queue.calls == [("start", {}, "maria")]
    assert seen["none"] == (grpc.StatusCode.UNAUTHENTICATED, "authentication")
    assert seen["wrong"] == (grpc.StatusCode.UNAUTHENTICATED, "authentication")
    assert seen["reader"] == (grpc.StatusCode.PERMISSION_DENIED, "permission")
    assert seen["control"].started
    assert version == "0.1"
    assert alive == b"\x08\x01"  # SERVING; the messages would be registered twice here


async def test_streams_are_behind_the_door_too(tmp_path, stubs, files):
    def client(address):
        with grpc.insecure_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            request = stubs.daq.StreamPositionRequest(device_id="stage")
            refused = hardware.StreamPosition(request, timeout=10)
            with pytest.raises(grpc.RpcError) as caught:
                next(refused)
            stream = hardware.StreamPosition(request, timeout=10, metadata=bearer(READER))
            first = next(stream)
            stream.cancel()
            return caught.value.code(), first.device_id

    async with behind(files, tmp_path, "tokens") as (_, address):
        assert await in_thread(client, address) == (grpc.StatusCode.UNAUTHENTICATED, "stage")


async def ask(address, credentials):
    """Our own client: the position after a move, or the error."""
    async with AsyncClient(address, credentials=credentials, resume_s=0, timeout=10) as client:
        try:
            return await client.devices.move_abs("stage", 0.5) == pytest.approx(0.5, abs=0.1)
        except (CommunicationError, AuthenticationError, PermissionDeniedError) as error:
            return error


async def test_our_client_comes_in_with_its_token_and_says_what_is_wrong_without(tmp_path, files):
    async with behind(files, tmp_path, "tls", "tokens") as (_, address):
        moved = await in_asyncio(ask, address, Credentials(TOKEN, files.ca))
        reading = await in_asyncio(ask, address, Credentials(READER, files.ca))
        nobody = await in_asyncio(ask, address, Credentials("", files.ca))
        stranger = await in_asyncio(ask, address, Credentials(TOKEN, files.stranger))
        plain = await in_asyncio(ask, address, Credentials(TOKEN))
    assert moved
    assert isinstance(reading, PermissionDeniedError)
    assert isinstance(nobody, AuthenticationError)
    assert "--token-file" in nobody.advice
    assert "is not trusted: " in stranger.message
    assert "--tls-ca" in stranger.advice
    assert "said nothing" in plain.message
    assert "may want TLS" in plain.advice


async def test_tls_to_a_daemon_without_is_told(tmp_path, files):
    async with behind(files, tmp_path) as (_, address):
        error = await in_asyncio(ask, address, Credentials("", files.ca))
    assert error.message == f"what listens on {address} does not speak TLS"


async def test_a_clients_certificate_is_asked_for_and_names_the_user(tmp_path, files):
    async def start(address):
        async with AsyncClient(address, credentials=Credentials("", files.ca, files.client)) as c:
            await c.scripts.start("knife.py")

    async with behind(files, tmp_path, "tls", "mutual") as (served, address):
        await in_asyncio(start, address)
        assert served.queue.calls == [("start", {}, "jo")]
        error = await in_asyncio(ask, address, Credentials("", files.ca))
    assert "said nothing before the connection ended" in error.message
    assert "--tls-certificate" in error.advice


async def test_a_tls_connection_that_ends_half_way_hurts_nobody(tmp_path, files):
    async with behind(files, tmp_path, "tls", "tokens") as (_, address):
        port = int(address.rpartition(":")[2])
        for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(sent)
            await stream.aclose()
        assert await in_asyncio(ask, address, Credentials(TOKEN, files.ca))


async def test_a_handshake_that_never_ends_does_not_keep_the_server_up(tmp_path, files):
    with trio.fail_after(5):
        async with behind(files, tmp_path, "tls") as (_, address):
            stream = await trio.open_tcp_stream("127.0.0.1", int(address.rpartition(":")[2]))
            assert await in_asyncio(ask, address, Credentials("", files.ca))
    await stream.aclose()


async def test_flight_asks_for_the_same(tmp_path, files):
    def client(address):
        pem = files.ca.read_bytes()
        with fl.connect(f"grpc+tls://{address}", tls_root_certs=pem) as flight:
            with pytest.raises(fl.FlightUnauthenticatedError, match="asks for a token"):
                list(flight.list_flights())
            header = (b"authorization", f"Bearer {READER}".encode())
            flights = list(flight.list_flights(options=fl.FlightCallOptions(headers=[header])))
        with fl.connect(f"grpc://{address}") as plain, pytest.raises(fl.FlightUnavailableError):
            list(plain.list_flights())
        return flights

    access = read_access(files.server("tls", "tokens"), owners=())
    async with serving(tmp_path, QUIET) as served, trio.open_nursery() as nursery:
        storage = served.services.storage
        address = await nursery.start(serve_flight, storage, None, "127.0.0.1", 0, access)
        assert await in_thread(client, address) == []
        nursery.cancel_scope.cancel()

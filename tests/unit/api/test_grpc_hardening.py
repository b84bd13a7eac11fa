"""Guards: each fails when the inside that `daq.api.door.grpc_hardening` relies on has changed."""

from __future__ import annotations

import asyncio.selector_events
import inspect
from importlib.metadata import version

import betterproto.grpc.grpclib_server
import grpclib.protocol
import grpclib.server
import grpclib.utils
import pytest
from grpclib.const import Handler

from daq.api.door.grpc_hardening import SERVER_CONFIGURATION
from daq.api.door.grpc_hardening import tune_allocator as tune


@pytest.mark.parametrize(("library", "wanted"), [("grpclib", "0.4.9"), ("h2", "4.4.1")])
def test_the_libraries_are_those_that_were_adjusted(library, wanted):
    assert version(library) == wanted, "read daq/api/door/grpc_hardening.py before this pin moves"


def test_trio_asyncio_is_of_the_series_that_was_tried():
    assert version("trio-asyncio").startswith("0.16.")


def test_the_inside_of_grpclib_is_where_it_was():
    send_data = inspect.signature(grpclib.protocol.Stream.send_data)
    assert list(send_data.parameters) == ["self", "data", "end_stream"]
    created = inspect.getsource(grpclib.protocol.EventsProcessor.process_request_received)
    assert "self.handler.accept(" in created
    assert "self.register(stream)" in created
    factory = inspect.getsource(grpclib.server.Server._protocol_factory)
    assert "H2Protocol(handler, self._config, self._h2_config)" in factory
    made = inspect.getsource(grpclib.protocol.H2Protocol.connection_made)
    assert "self.processor = EventsProcessor(self.handler, self.connection)" in made
    assert Handler._fields == ("func", "cardinality", "request_type", "reply_type")


def test_grpclib_still_keeps_the_current_task_of_its_import():
    assert "_current_task = asyncio.current_task" in inspect.getsource(grpclib.utils)
    assert "task = _current_task()" in inspect.getsource(grpclib.utils.Wrapper)


def test_betterproto_still_leaves_generators_to_the_garbage_collector():
    base = betterproto.grpc.grpclib_server.ServiceBase
    source = inspect.getsource(base._call_rpc_handler_server_stream)
    assert "aclosing" not in source
    assert "async for response_message in response_iter" in source


def test_the_window_of_a_connection_is_larger_than_that_of_a_stream():
    assert (
        SERVER_CONFIGURATION.http2_connection_window_size
        > SERVER_CONFIGURATION.http2_stream_window_size
    )


def test_asyncio_still_reads_as_much_as_its_transport_says():
    source = inspect.getsource(asyncio.selector_events._SelectorSocketTransport)  # type: ignore[attr-defined]
    assert "self._sock.recv(self.max_size)" in source


def test_the_allocator_can_be_tuned_again_and_again():
    tune()
    tune()

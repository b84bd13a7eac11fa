"""The wire: core values as protobuf messages, errors as gRPC statuses. Pure; no event loop."""

"""Streams that a client subscribes to: measurements, blocks, documents, executions."""

"""The scheduler as a value machine: events and the time go in, decisions come out.

Rule: nothing here reads a clock, holds a lock, or knows gRPC, ONNX Runtime, asyncio or Prometheus.
"""

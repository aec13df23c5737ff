"""What the broker tells of itself over HTTP: /metrics for Prometheus, /healthz and /readyz."""

from broker.server.metrics.http import MetricsServer

__all__ = ["MetricsServer"]

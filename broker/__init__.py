"""A partitioned, append-only log server that speaks the Kafka wire protocol."""

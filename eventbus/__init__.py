"""Event-driven microservices: CQRS and event sourcing over a Kafka-protocol log."""

"""How many of what there is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """
    One service of `services` that share out the keys (1: there is one), and the log that all of them are on.

    instances        processes of the service, a core each: Python runs one thread at a time
    partitions       of its topic
    slots            of its outbox
    database_cores   of each of its databases
    view_databases   how many databases share the view's rows, each with processes of its own that fill it; 0: the view
                     is in the service's database, and its instances fill it
    log_cores        of all nodes of the log together; replicas: copies of a record
    handler_seconds  what the handler waits for an event, without using a processor
    """

    instances: int = 1
    partitions: int = 12
    slots: int = 4
    database_cores: int = 4
    view_databases: int = 0
    log_cores: int = 1
    replicas: int = 1
    services: int = 1
    handler_seconds: float = 0.0

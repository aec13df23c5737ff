"""
The options of a `kafka://` URL: librdkafka's, by name, with what each takes and which clients get it.

    kafka://host:9092?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=shop&sasl.password=…&client.rack=eu-1a

Unknown     refused, with the nearest name
Reserved    refused: the promises of delivery rest on the framework's own value, or the framework has a setting for it
A value     is compared with its range before any client is made; one that may be a secret is never shown
Clients     `*` all, `P` those that write, `C` those that read; librdkafka would warn of one that is given to another

Source      CONFIGURATION.md of librdkafka 2.16; deprecated ones and callbacks are left out
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["*", "P", "C"]

RESERVED: Final[Mapping[str, str]] = {
    "acks": "every replica in sync has a record before it counts",
    "allow.auto.create.topics": "services make their topics with their own settings",
    "auto.commit.enable": "offsets are kept with the effects",
    "auto.offset.reset": "where reading begins is in the database",
    "bootstrap.servers": "it is the URL's hosts",
    "client.id": "it is the service's name",
    "delivery.timeout.ms": "a record that is given up on could appear behind a later one of its key",
    "enable.auto.commit": "offsets are kept with the effects",
    "enable.auto.offset.store": "offsets are kept with the effects",
    "enable.gapless.guarantee": "a refused record blocks its key only",
    "enable.idempotence": "a record is written once",
    "enable.partition.eof": "reading goes on behind the markers of transactions",
    "group.id": "it is the service's name",
    "group.instance.id": "EVENTBUS_INSTANCE_ID sets it",
    "group.protocol": "EVENTBUS_GROUP_PROTOCOL sets it",
    "group.protocol.type": "members of services are consumers",
    "isolation.level": "only committed records count",
    "message.timeout.ms": "a record that is given up on could appear behind a later one of its key",
    "metadata.broker.list": "it is the URL's hosts",
    "offset.store.method": "offsets are kept with the effects",
    "partition.assignment.strategy": "partitions that stay are read on during a rebalance",
    "partitioner": "services in other languages agree on the partition of a key",
    "produce.offset.report": "receipts are exchanged for offsets",
    "queuing.strategy": "records of a key keep their order",
    "request.required.acks": "every replica in sync has a record before it counts",
    "transactional.id": "each slot of the outbox has its own",
}
"""Options that a URL cannot set, and why."""

_SECRET_PARTS: Final = ("password", "secret", ".pem", "sasl.oauthbearer.config", "sasl.jaas")

# One a line: name, clients, what it takes.
_TABLE: Final = """
acks P integer -1..1000
allow.auto.create.topics * boolean
api.version.request.timeout.ms * integer 1..300000
auto.commit.interval.ms C integer 0..86400000
auto.offset.reset C one of smallest|earliest|beginning|largest|latest|end|error
batch.num.messages P integer 1..1000000
batch.size P integer 1..2147483647
bootstrap.servers * text
broker.address.family * one of any|v4|v6
broker.address.ttl * integer 0..86400000
builtin.features * text
check.crcs C boolean
client.dns.lookup * one of use_all_dns_ips|resolve_canonical_bootstrap_servers_only
client.id * text
client.rack * text
compression.codec P one of none|gzip|snappy|lz4|zstd
compression.level P integer -1..12
compression.type P one of none|gzip|snappy|lz4|zstd
connections.max.idle.ms * integer 0..2147483647
consume.callback.max.messages C integer 0..1000000
coordinator.query.interval.ms C integer 1..3600000
debug * text
delivery.report.only.error P boolean
delivery.timeout.ms P integer 0..2147483647
enable.auto.commit C boolean
enable.auto.offset.store C boolean
enable.gapless.guarantee P boolean
enable.idempotence P boolean
enable.metrics.push * boolean
enable.partition.eof C boolean
enable.random.seed * boolean
enable.sasl.oauthbearer.unsecure.jwt * boolean
enable.ssl.certificate.verification * boolean
enabled_events * integer 0..2147483647
fetch.error.backoff.ms C integer 0..300000
fetch.max.bytes C integer 0..2147483135
fetch.message.max.bytes C integer 1..1000000000
fetch.min.bytes C integer 0..2147483647
fetch.queue.backoff.ms C integer 0..300000
fetch.wait.max.ms C integer 0..300000
group.id C text
group.instance.id C text
group.protocol C one of classic|consumer
group.protocol.type C text
group.remote.assignor C text
heartbeat.interval.ms C integer 1..3600000
https.ca.location * text
https.ca.pem * text
internal.termination.signal * integer 0..128
isolation.level C one of read_uncommitted|read_committed
linger.ms P float 0..900000
log.connection.close * boolean
log.queue * boolean
log.thread.name * boolean
log_level * integer 0..7
max.in.flight * integer 1..1000000
max.in.flight.requests.per.connection * integer 1..1000000
max.partition.fetch.bytes C integer 1..1000000000
max.poll.interval.ms C integer 1..86400000
max.poll.records C integer 1..2147483647
message.copy.max.bytes * integer 0..1000000000
message.max.bytes * integer 1000..1000000000
message.send.max.retries P integer 0..2147483647
message.timeout.ms P integer 0..2147483647
metadata.broker.list * text
metadata.max.age.ms * integer 1..86400000
metadata.recovery.rebootstrap.trigger.ms * integer 0..2147483647
metadata.recovery.strategy * one of none|rebootstrap
partition.assignment.strategy C text
partitioner P text
plugin.library.paths * text
queue.buffering.backpressure.threshold P integer 1..1000000
queue.buffering.max.kbytes P integer 1..2147483647
queue.buffering.max.messages P integer 0..2147483647
queue.buffering.max.ms P float 0..900000
queued.max.messages.kbytes C integer 1..2097151
queued.min.messages C integer 1..10000000
receive.message.max.bytes * integer 1000..2147483647
reconnect.backoff.max.ms * integer 0..3600000
reconnect.backoff.ms * integer 0..3600000
request.required.acks P integer -1..1000
request.timeout.ms P integer 1..900000
retries P integer 0..2147483647
retry.backoff.max.ms * integer 1..300000
retry.backoff.ms * integer 1..300000
sasl.kerberos.keytab * text
sasl.kerberos.kinit.cmd * text
sasl.kerberos.min.time.before.relogin * integer 0..86400000
sasl.kerberos.principal * text
sasl.kerberos.service.name * text
sasl.mechanism * text
sasl.mechanisms * text
sasl.oauthbearer.assertion.algorithm * one of RS256|ES256
sasl.oauthbearer.assertion.claim.aud * text
sasl.oauthbearer.assertion.claim.exp.seconds * integer 1..2147483647
sasl.oauthbearer.assertion.claim.iss * text
sasl.oauthbearer.assertion.claim.jti.include * boolean
sasl.oauthbearer.assertion.claim.nbf.seconds * integer 0..2147483647
sasl.oauthbearer.assertion.claim.sub * text
sasl.oauthbearer.assertion.file * text
sasl.oauthbearer.assertion.jwt.template.file * text
sasl.oauthbearer.assertion.private.key.file * text
sasl.oauthbearer.assertion.private.key.passphrase * text
sasl.oauthbearer.assertion.private.key.pem * text
sasl.oauthbearer.client.credentials.client.id * text
sasl.oauthbearer.client.credentials.client.secret * text
sasl.oauthbearer.client.id * text
sasl.oauthbearer.client.secret * text
sasl.oauthbearer.config * text
sasl.oauthbearer.extensions * text
sasl.oauthbearer.grant.type * one of client_credentials|urn:ietf:params:oauth:grant-type:jwt-bearer
sasl.oauthbearer.metadata.authentication.type * one of none|azure_imds|aws_iam
sasl.oauthbearer.method * one of default|oidc
sasl.oauthbearer.scope * text
sasl.oauthbearer.sub.claim.name * text
sasl.oauthbearer.token.endpoint.url * text
sasl.password * text
sasl.username * text
security.protocol * one of plaintext|ssl|sasl_plaintext|sasl_ssl
session.timeout.ms C integer 1..3600000
share.acknowledgement.mode C text
socket.connection.setup.timeout.ms * integer 1000..2147483647
socket.keepalive.enable * boolean
socket.max.fails * integer 0..1000000
socket.nagle.disable * boolean
socket.receive.buffer.bytes * integer 0..100000000
socket.send.buffer.bytes * integer 0..100000000
socket.timeout.ms * integer 10..300000
ssl.ca.certificate.stores * text
ssl.ca.location * text
ssl.ca.pem * text
ssl.certificate.location * text
ssl.certificate.pem * text
ssl.cipher.suites * text
ssl.crl.location * text
ssl.curves.list * text
ssl.endpoint.identification.algorithm * one of none|https
ssl.engine.id * text
ssl.key.location * text
ssl.key.password * text
ssl.key.pem * text
ssl.keystore.location * text
ssl.keystore.password * text
ssl.providers * text
ssl.sigalgs.list * text
statistics.interval.ms * integer 0..86400000
sticky.partitioning.linger.ms P integer 0..900000
topic.blacklist * text
topic.metadata.propagation.max.ms * integer 0..3600000
topic.metadata.refresh.fast.interval.ms * integer 1..60000
topic.metadata.refresh.interval.ms * integer -1..3600000
topic.metadata.refresh.sparse * boolean
transaction.timeout.ms P integer 1000..2147483647
transactional.id P text
"""


@dataclass(frozen=True, slots=True)
class KafkaOption:
    """*takes*: `text`, `boolean`, `one of a|b`, `integer LOW..HIGH` or `float LOW..HIGH`."""

    name: str
    kind: Kind
    takes: str

    @property
    def is_secret(self) -> bool:
        """Whether its value is never to be shown."""
        return any(part in self.name for part in _SECRET_PARTS)

    def fault(self, value: str) -> str | None:
        """Why the option does not take *value*, with the value where it is no secret; None: it does."""
        kind, _, bounds = self.takes.partition(" ")
        match kind:
            case "boolean":
                right = value in {"true", "false"}
                wanted = "true or false"
            case "one":
                choices = bounds.removeprefix("of ").split("|")
                right = value.lower() in {choice.lower() for choice in choices}
                wanted = "one of " + ", ".join(choices)
            case "integer" | "float":
                low, _, high = bounds.partition("..")
                number = _number(value, whole=kind == "integer")
                right = number is not None and float(low) <= number <= float(high)
                wanted = f"{'a whole number' if kind == 'integer' else 'a number'} from {low} to {high}"
            case _:
                right = self.is_secret or value != ""
                wanted = "not empty"
        return None if right else f"{self.name} is {value!r}: it has to be {wanted}"


def _number(value: str, *, whole: bool) -> float | None:
    try:
        return int(value) if whole else float(value)
    except ValueError:
        return None


def _options() -> dict[str, KafkaOption]:
    found: dict[str, KafkaOption] = {}
    for line in _TABLE.split("\n"):
        if line:
            name, kind, takes = line.split(" ", 2)
            found[name] = KafkaOption(name, "P" if kind == "P" else "C" if kind == "C" else "*", takes)
    return found


OPTIONS: Final[Mapping[str, KafkaOption]] = {
    name: option for name, option in _options().items() if name not in RESERVED
}
"""Those that a URL may set."""


def fault_of(options: Mapping[str, str]) -> str | None:
    """The first thing that is wrong with a URL's options, as a clause without secrets; None: nothing is."""
    for name, value in options.items():
        if name in RESERVED:
            return f"{name} cannot be set: {RESERVED[name]}"
        option = OPTIONS.get(name)
        if option is None:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            return f"{name} is no option of librdkafka" + (f": is {near[0]} meant?" if near else "")
        if (fault := option.fault(value)) is not None:
            return fault
    return None


def for_clients(options: Mapping[str, str | int], kind: Kind) -> dict[str, str | int]:
    """Those of *options* that clients of *kind* take; `*`: a client that neither writes nor reads."""
    return {
        name: value
        for name, value in options.items()
        if (known := OPTIONS.get(name)) is None or known.kind in ("*", kind)
    }

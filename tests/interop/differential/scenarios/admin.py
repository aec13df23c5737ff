"""Access control lists, ApiVersions, configs, DescribeCluster, DescribeLogDirs, ElectLeaders, FindCoordinator."""

from collections.abc import Callable, Sequence

from broker.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DescribeAclsRequest,
)
from broker.wire.messages.api_versions import ApiVersionsRequest
from broker.wire.messages.cluster import (
    DescribableLogDirTopic,
    DescribeClusterRequest,
    DescribeLogDirsRequest,
    ElectLeadersRequest,
    ElectLeadersTopicPartitions,
)
from broker.wire.messages.configs import (
    AlterConfigsEntry,
    AlterConfigsRequest,
    AlterConfigsResource,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    IncrementalAlterConfigsEntry,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
    ListConfigResourcesRequest,
)
from broker.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.interop.differential.building import batch, new_topic, produce
from tests.interop.differential.scenario import Ask, Build, Known, Scenario

TOPIC, BROKER, LOGGER, GROUP, NOTHING = 2, 4, 8, 32, 0
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
ANY, LITERAL, READ, ALLOW = 1, 3, 3, 3
Name = str | Callable[[Known], str]


def named(label: str) -> Callable[[Known], str]:
    return lambda known: known.name(label)


def _name(name: Name, known: Known) -> str:
    return name(known) if callable(name) else name


def describe(kind: int, name: Name, keys: Sequence[str] | None = None, *, documented: bool = False) -> Build:
    return lambda known: DescribeConfigsRequest(
        resources=[
            DescribeConfigsResource(resource_type=kind, resource_name=_name(name, known), configuration_keys=keys)
        ],
        include_synonyms=True,
        include_documentation=documented,
    )


def alter(kind: int, name: Name, *entries: tuple[str, str | None], validate_only: bool = False) -> Build:
    return lambda known: AlterConfigsRequest(
        resources=[
            AlterConfigsResource(
                resource_type=kind,
                resource_name=_name(name, known),
                configs=[AlterConfigsEntry(name=key, value=value) for key, value in entries],
            )
        ],
        validate_only=validate_only,
    )


def change(
    kind: int, name: Name, *entries: tuple[str, int, str | None], validate_only: bool = False, twice: bool = False
) -> Build:
    def build(known: Known) -> IncrementalAlterConfigsRequest:
        resource = IncrementalAlterConfigsResource(
            resource_type=kind,
            resource_name=_name(name, known),
            configs=[
                IncrementalAlterConfigsEntry(name=key, config_operation=operation, value=value)
                for key, operation, value in entries
            ],
        )
        return IncrementalAlterConfigsRequest(
            resources=[resource, resource] if twice else [resource], validate_only=validate_only
        )

    return build


def elect(kind: int, label: str, partition: int) -> Build:
    return lambda known: ElectLeadersRequest(
        election_type=kind,
        topic_partitions=[ElectLeadersTopicPartitions(topic=known.name(label), partitions=[partition])],
        timeout_ms=5000,
    )


def find(kind: int) -> Build:
    return lambda known: FindCoordinatorRequest(
        key=known.name("g"), key_type=kind, coordinator_keys=[known.name("g"), known.name("h")]
    )


def _list(known: Known, label: str) -> AclCreation:
    return AclCreation(
        resource_type=TOPIC,
        resource_name=known.name(label),
        resource_pattern_type=LITERAL,
        principal="User:ann",
        host="*",
        operation=READ,
        permission_type=ALLOW,
    )


def _lists(known: Known, label: str) -> DeleteAclsFilter:
    return DeleteAclsFilter(
        resource_type_filter=TOPIC,
        resource_name_filter=known.name(label),
        pattern_type_filter=LITERAL,
        principal_filter="User:ann",
        host_filter=None,
        operation=ANY,
        permission_type=ANY,
    )


T = named("t")
SOME = ["retention.ms", "cleanup.policy", "max.message.bytes"]

CONFIGS = Scenario(
    "configs",
    [
        *new_topic("t", configs={"retention.ms": "5000"}),
        *new_topic("plain"),
        Ask(describe(TOPIC, T)),
        Ask(describe(TOPIC, named("plain"))),
        Ask(describe(TOPIC, T, SOME)),
        Ask(describe(TOPIC, T, [])),
        Ask(describe(TOPIC, T, ["no.such.key"]), versions=[1, 4]),
        Ask(describe(TOPIC, named("nowhere"))),
        Ask(describe(TOPIC, "bad name!"), versions=[1, 4]),
        Ask(describe(TOPIC, "__consumer_offsets", SOME), versions=[1, 4]),
        Ask(describe(TOPIC, ""), versions=[1, 4]),
        Ask(describe(BROKER, "1", ["log.retention.hours", "num.partitions", "message.max.bytes"])),
        Ask(describe(BROKER, "", ["log.retention.hours"])),
        Ask(describe(BROKER, "9", ["log.retention.hours"])),
        Ask(describe(BROKER, "one", ["log.retention.hours"])),
        Ask(describe(NOTHING, "t"), versions=[1, 4]),
        Ask(describe(77, "t"), versions=[1, 4]),
        Ask(describe(TOPIC, T, SOME, documented=True), versions=[3, 4]),
        Ask(change(TOPIC, T, ("retention.ms", SET, "7000"))),
        Ask(change(TOPIC, T, ("cleanup.policy", APPEND, "compact"))),
        Ask(describe(TOPIC, T, SOME), versions=[4]),
        Ask(change(TOPIC, T, ("cleanup.policy", SUBTRACT, "delete"))),
        Ask(describe(TOPIC, T, SOME), versions=[4]),
        Ask(change(TOPIC, T, ("cleanup.policy", DELETE, None))),
        Ask(change(TOPIC, T, ("retention.ms", APPEND, "1"))),
        Ask(change(TOPIC, T, ("retention.ms", SUBTRACT, "1"))),
        Ask(change(TOPIC, T, ("retention.ms", SET, None))),
        Ask(change(TOPIC, T, ("retention.ms", SET, "soon"))),
        Ask(change(TOPIC, T, ("retention.ms", SET, "-2"))),
        Ask(change(TOPIC, T, ("no.such.key", SET, "1"))),
        Ask(change(TOPIC, T, ("no.such.key", DELETE, None))),
        Ask(change(TOPIC, T, ("retention.ms", 9, "1"))),
        Ask(change(TOPIC, T, ("retention.ms", SET, "1"), ("retention.ms", SET, "2"))),
        Ask(change(TOPIC, T, ("retention.ms", SET, "1"), twice=True)),
        Ask(change(TOPIC, T, ("retention.ms", SET, "1"), validate_only=True)),
        Ask(change(TOPIC, T, ("retention.ms", SET, "x"), validate_only=True)),
        Ask(change(TOPIC, T)),
        Ask(change(TOPIC, named("nowhere"), ("retention.ms", SET, "1"))),
        Ask(change(NOTHING, T, ("retention.ms", SET, "1"))),
        Ask(change(BROKER, "9", ("log.cleaner.threads", SET, "2"))),
        Ask(change(BROKER, "1", ("node.id", SET, "5"))),
        Ask(describe(TOPIC, T, SOME), versions=[4]),
        Ask(alter(TOPIC, T, ("max.message.bytes", "2000"))),
        Ask(describe(TOPIC, T, SOME), versions=[4]),
        Ask(alter(TOPIC, T, ("max.message.bytes", "big"))),
        Ask(alter(TOPIC, T, ("max.message.bytes", None))),
        Ask(alter(TOPIC, T, ("no.such.key", "1"))),
        Ask(alter(TOPIC, T, ("max.message.bytes", "1"), ("max.message.bytes", "2"))),
        Ask(alter(TOPIC, T, ("max.message.bytes", "3000"), validate_only=True)),
        Ask(alter(TOPIC, named("nowhere"), ("max.message.bytes", "3000"))),
        Ask(alter(TOPIC, T)),
        Ask(alter(NOTHING, T)),
        Ask(describe(TOPIC, T, SOME), versions=[4]),
        Ask(lambda known: ListConfigResourcesRequest()),
        Ask(lambda known: ListConfigResourcesRequest(resource_types=[TOPIC]), versions=[1]),
        Ask(lambda known: ListConfigResourcesRequest(resource_types=[BROKER]), versions=[1]),
        Ask(lambda known: ListConfigResourcesRequest(resource_types=[LOGGER, GROUP]), versions=[1]),
        Ask(lambda known: ListConfigResourcesRequest(resource_types=[77]), versions=[1]),
    ],
)

CLUSTER = Scenario(
    "cluster",
    [
        *new_topic("t", 2),
        Ask(produce("t", batch()), versions=[9]),
        Ask(lambda known: ApiVersionsRequest(client_software_name="test", client_software_version="1")),
        Ask(lambda known: ApiVersionsRequest(client_software_name="", client_software_version="1"), versions=[3, 4]),
        Ask(lambda known: ApiVersionsRequest(client_software_name="a b", client_software_version="1"), versions=[3]),
        Ask(lambda known: ApiVersionsRequest(client_software_name="a", client_software_version="-"), versions=[3]),
        Ask(lambda known: DescribeClusterRequest()),
        Ask(lambda known: DescribeClusterRequest(include_cluster_authorized_operations=True)),
        Ask(lambda known: DescribeClusterRequest(endpoint_type=2), versions=[1, 2]),
        Ask(lambda known: DescribeClusterRequest(endpoint_type=7), versions=[1, 2]),
        Ask(lambda known: DescribeClusterRequest(include_fenced_brokers=True), versions=[2]),
        Ask(
            lambda known: DescribeLogDirsRequest(
                topics=[DescribableLogDirTopic(topic=known.name("t"), partitions=[0, 1, 5])]
            )
        ),
        Ask(
            lambda known: DescribeLogDirsRequest(
                topics=[DescribableLogDirTopic(topic=known.name("nowhere"), partitions=[0])]
            )
        ),
        Ask(lambda known: DescribeLogDirsRequest(topics=[])),
        Ask(lambda known: DescribeLogDirsRequest(topics=None), versions=[5]),
        *(Ask(elect(*each)) for each in ((0, "t", 0), (1, "t", 0), (0, "t", 9), (0, "nowhere", 0))),
        Ask(lambda known: ElectLeadersRequest(election_type=5, topic_partitions=[], timeout_ms=5000), versions=[1, 2]),
        Ask(lambda known: ElectLeadersRequest(topic_partitions=[], timeout_ms=5000)),
    ],
)

ACLS = Scenario(
    "acls",
    [
        Ask(
            lambda known: DescribeAclsRequest(
                resource_type_filter=ANY,
                resource_name_filter=None,
                pattern_type_filter=ANY,
                principal_filter=None,
                host_filter=None,
                operation=ANY,
                permission_type=ANY,
            )
        ),
        Ask(lambda known: DescribeAclsRequest(resource_type_filter=TOPIC, operation=READ, permission_type=ALLOW)),
        Ask(lambda known: CreateAclsRequest(creations=[_list(known, "t"), _list(known, "u")])),
        Ask(lambda known: CreateAclsRequest()),
        Ask(lambda known: DeleteAclsRequest(filters=[_lists(known, "t"), _lists(known, "u")])),
        Ask(lambda known: DeleteAclsRequest()),
    ],
)

COORDINATORS = Scenario(
    "coordinators",
    [
        *(Ask(find(kind)) for kind in (0, 1)),
        Ask(lambda known: FindCoordinatorRequest(key="g", key_type=7, coordinator_keys=["g"])),
        Ask(lambda known: FindCoordinatorRequest(key="", key_type=0, coordinator_keys=[""])),
        Ask(lambda known: FindCoordinatorRequest(key="", key_type=1, coordinator_keys=[""])),
        Ask(lambda known: FindCoordinatorRequest(key="g", key_type=0, coordinator_keys=[]), versions=[4, 6]),
        Ask(lambda known: FindCoordinatorRequest(key="g", key_type=2, coordinator_keys=["g"])),
    ],
)

SCENARIOS = [CONFIGS, CLUSTER, ACLS, COORDINATORS]

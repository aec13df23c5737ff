"""Leader-epoch fencing (KIP-320): who knows another epoch than ours has to refresh its metadata first."""

from broker.errors import ErrorCode
from broker.topics import Partition

UNKNOWN = -1


def check_leader_epoch(partition: Partition, current_leader_epoch: int) -> ErrorCode:
    """
    NONE, or the error for a client that knows an older epoch (FENCED) or a newer one (UNKNOWN_LEADER_EPOCH), or for a
    partition that has no log to ask (KAFKA_STORAGE_ERROR).
    """
    if partition.unopened is not None:
        return ErrorCode.KAFKA_STORAGE_ERROR
    if current_leader_epoch in (UNKNOWN, partition.leader_epoch):
        return ErrorCode.NONE
    if current_leader_epoch < partition.leader_epoch:
        return ErrorCode.FENCED_LEADER_EPOCH
    return ErrorCode.UNKNOWN_LEADER_EPOCH

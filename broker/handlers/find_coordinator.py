"""
FindCoordinator (key 10), v0-6: which broker coordinates a group or a transactional id.

Behaviour
  - This one, for every group and every transactional id.
  - Share groups (key type 2) and unknown key types: INVALID_REQUEST.
Version notes
  - v1 key types (KIP-98); v4 several keys in one request (KIP-699); v6 share groups (KIP-932)
"""

from broker.errors import ErrorCode
from broker.handlers.context import BrokerState, RequestContext
from broker.wire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_GROUP, _TRANSACTION = 0, 1


def handle_find_coordinator(context: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    broker = context.broker
    if context.version >= 4:
        return FindCoordinatorResponse(
            coordinators=[_find(broker, request.key_type, key) for key in request.coordinator_keys]
        )
    found = _find(broker, request.key_type, request.key)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        error_message=found.error_message,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _find(broker: BrokerState, key_type: int, key: str) -> Coordinator:
    if key_type not in (_GROUP, _TRANSACTION):
        return Coordinator(
            key=key,
            node_id=-1,
            port=-1,
            error_code=ErrorCode.INVALID_REQUEST,
            error_message=f"key type {key_type}: 0 (group) and 1 (transaction) are served",
        )
    return Coordinator(key=key, node_id=broker.node_id, host=broker.host, port=broker.port, error_message=None)

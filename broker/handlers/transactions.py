"""
InitProducerId (key 22), v0-5: a producer id for an idempotent producer.

Behaviour
  - A new id with epoch 0, never given before, also not before a crash. A client that names the id and epoch that it had
    (v3, after an error that it could not resolve) gets the id with the next epoch; a new id when the epochs are used up
    or the id is not ours.
  - With a transactional id: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, because transactions are not served yet. It is the
    one error that every client reports to its user as fatal; COORDINATOR_NOT_AVAILABLE would be retried for ever.
Version notes
  - v3 id and epoch of before (KIP-360)
"""

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import RequestContext
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse

_EPOCH_MAX = 0x7FFF
_NONE = -1


def handle_init_producer_id(context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    if request.transactional_id is not None:
        return InitProducerIdResponse(
            error_code=ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, producer_id=_NONE, producer_epoch=_NONE
        )
    producer_ids = context.broker.catalog.producer_ids
    known = request.producer_id != _NONE and producer_ids.was_given(request.producer_id)
    if known and 0 <= request.producer_epoch < _EPOCH_MAX - 1:
        return InitProducerIdResponse(producer_id=request.producer_id, producer_epoch=request.producer_epoch + 1)
    try:
        return InitProducerIdResponse(producer_id=producer_ids.allocate(), producer_epoch=0)
    except KafkaError as refused:
        return InitProducerIdResponse(error_code=refused.code, producer_id=_NONE, producer_epoch=_NONE)

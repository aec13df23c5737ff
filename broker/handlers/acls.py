"""
DescribeAcls (key 29), CreateAcls (key 30), DeleteAcls (key 31), v1-3: there are no access control lists.

Behaviour
  - SECURITY_DISABLED, for each list that was to be made and each filter that was to delete: what Apache Kafka answers
    when it has no authorizer. Programs that copy or show lists (MirrorMaker 2, consoles) know it and go on; one that
    finds the API missing takes the broker for too old.
Version notes
  - v1 pattern types (KIP-290); v3 resource type user (KIP-373)
"""

from broker.errors import ErrorCode
from broker.handlers.context import RequestContext
from broker.wire.messages.acls import (
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
)

_WORDS = "no authorizer here: nobody is asked who they are, and everybody may do everything"


def handle_describe_acls(context: RequestContext, request: DescribeAclsRequest) -> DescribeAclsResponse:
    return DescribeAclsResponse(error_code=ErrorCode.SECURITY_DISABLED, error_message=_WORDS)


def handle_create_acls(context: RequestContext, request: CreateAclsRequest) -> CreateAclsResponse:
    refused = AclCreationResult(error_code=ErrorCode.SECURITY_DISABLED, error_message=_WORDS)
    return CreateAclsResponse(results=[refused] * len(request.creations))


def handle_delete_acls(context: RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse:
    refused = DeleteAclsFilterResult(error_code=ErrorCode.SECURITY_DISABLED, error_message=_WORDS)
    return DeleteAclsResponse(filter_results=[refused] * len(request.filters))

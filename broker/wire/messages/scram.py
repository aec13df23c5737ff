"""
Credentials of SCRAM users (KIP-554). Passwords never travel: the client sends salted ones.

DescribeUserScramCredentials (key 50)
    v0
AlterUserScramCredentials (key 51)
    v0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeUserScramCredentialsUserName(Struct):
    """In `DescribeUserScramCredentialsRequest.users`."""

    name: Annotated[str, "string 0+"] = ""


class DescribeUserScramCredentialsRequest(Request, api=ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS):
    """DescribeUserScramCredentials request (key 50), v0, flexible from v0."""

    users: Annotated[Sequence[DescribeUserScramCredentialsUserName] | None, "[]struct 0+ null 0+"] = ()


class CredentialInfo(Struct):
    """In `DescribeUserScramCredentialsResponse.results.credential_infos`."""

    mechanism: Annotated[int, "int8 0+"] = 0
    iterations: Annotated[int, "int32 0+"] = 0


class DescribeUserScramCredentialsResult(Struct):
    """In `DescribeUserScramCredentialsResponse.results`."""

    user: Annotated[str, "string 0+"] = ""
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    credential_infos: Annotated[Sequence[CredentialInfo], "[]struct 0+"] = ()


class DescribeUserScramCredentialsResponse(Response, api=ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS):
    """DescribeUserScramCredentials response (key 50), v0, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    results: Annotated[Sequence[DescribeUserScramCredentialsResult], "[]struct 0+"] = ()


class ScramCredentialDeletion(Struct):
    """In `AlterUserScramCredentialsRequest.deletions`."""

    name: Annotated[str, "string 0+"] = ""
    mechanism: Annotated[int, "int8 0+"] = 0


class ScramCredentialUpsertion(Struct):
    """In `AlterUserScramCredentialsRequest.upsertions`."""

    name: Annotated[str, "string 0+"] = ""
    mechanism: Annotated[int, "int8 0+"] = 0
    iterations: Annotated[int, "int32 0+"] = 0
    salt: Annotated[bytes, "bytes 0+"] = b""
    salted_password: Annotated[bytes, "bytes 0+"] = b""


class AlterUserScramCredentialsRequest(Request, api=ApiKey.ALTER_USER_SCRAM_CREDENTIALS):
    """AlterUserScramCredentials request (key 51), v0, flexible from v0."""

    deletions: Annotated[Sequence[ScramCredentialDeletion], "[]struct 0+"] = ()
    upsertions: Annotated[Sequence[ScramCredentialUpsertion], "[]struct 0+"] = ()


class AlterUserScramCredentialsResult(Struct):
    """In `AlterUserScramCredentialsResponse.results`."""

    user: Annotated[str, "string 0+"] = ""
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""


class AlterUserScramCredentialsResponse(Response, api=ApiKey.ALTER_USER_SCRAM_CREDENTIALS):
    """AlterUserScramCredentials response (key 51), v0, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    results: Annotated[Sequence[AlterUserScramCredentialsResult], "[]struct 0+"] = ()

"""
The keys of Apache Kafka's that ask for a protection, or for code, that is not here.

Whoever sets one relies on it, so it is refused with words; a value that asks for nothing ("", none, PLAINTEXT) passes.
"""

from broker.config.keys import InvalidConfig

_NO_ENCRYPTION = "nothing is encrypted and no client is asked who it is; keep the broker on a network that you trust"
_NO_RULES = "there are no access rules; keep the broker on a network that you trust"
_NO_PLUG_INS = "no code is loaded into the broker, so what this would check is not checked"
_NO_PROVIDERS = "values are taken as they are written; put the values themselves into the configuration"

_REASONS: dict[str, str] = {
    "ssl.": _NO_ENCRYPTION,
    "sasl.": _NO_ENCRYPTION,
    "security.": _NO_ENCRYPTION,
    "listener.name.": _NO_ENCRYPTION,
    "connections.max.reauth.ms": _NO_ENCRYPTION,
    "delegation.token.secret.key": _NO_ENCRYPTION,
    "principal.builder.class": _NO_RULES,
    "authorizer.class.name": _NO_RULES,
    "early.start.listeners": _NO_RULES,
    "super.users": _NO_RULES,
    "allow.everyone.if.no.acl.found": _NO_RULES,
    "alter.config.policy.class.name": _NO_PLUG_INS,
    "create.topic.policy.class.name": _NO_PLUG_INS,
    "client.quota.callback.class": _NO_PLUG_INS,
    "config.providers": _NO_PROVIDERS,
}
"""Key, or the beginning of keys ("ssl.", "config.providers"), → why it is refused."""

_ASKS_FOR_NOTHING = {
    "ssl.client.auth": "none",
    "security.inter.broker.protocol": "PLAINTEXT",
    "connections.max.reauth.ms": "0",
    "allow.everyone.if.no.acl.found": "true",
}


def is_protective(name: str) -> bool:
    """Whether *name* is one of these keys."""
    return name.startswith(tuple(_REASONS))


def refuse_protection(name: str, text: str) -> None:
    """Raises InvalidConfig unless *text* asks for nothing."""
    if text.strip() in ("", _ASKS_FOR_NOTHING.get(name, "")):
        return
    reason = next(reason for beginning, reason in _REASONS.items() if name.startswith(beginning))
    # Without the value: it may be a password.
    raise InvalidConfig(f"{name}: {reason}, and take the key out")

"""What of the accounts service a process runs."""

from collections.abc import Callable
from types import ModuleType
from typing import Final, Literal

from tests.crash import accounts, accounts_in_lanes

Part = Literal["all", "all, in lanes", "commands and handlers", "views"]

_VIEWS: Final = ("AccountSummaries", "Journal")


def _of_accounts(is_in: Callable[[str], bool]) -> ModuleType:
    """A module as if only these had been written in it."""
    module = ModuleType(accounts.__name__)
    vars(module).update({name: value for name, value in vars(accounts).items() if is_in(name)})
    return module


def modules_of(part: Part) -> list[ModuleType]:
    """What the process' application is made of."""
    match part:
        case "all":
            return [accounts]
        case "all, in lanes":
            return [_of_accounts(lambda name: name not in ("take_effect", "audit")), accounts_in_lanes]
        case "commands and handlers":
            return [_of_accounts(lambda name: name not in _VIEWS)]
        case "views":
            return [_of_accounts(lambda name: name in ("Deposited", "Audited", *_VIEWS))]

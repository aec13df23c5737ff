"""
What a service's own tests are written with. Each name is loaded when it is first asked for: pytest imports the plugin
that lives here in every run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventbus.testing.any_order import any_order, project
    from eventbus.testing.event_bus import RunningEventBus
    from eventbus.testing.handler_scenario import GivenHandler, given_handler
    from eventbus.testing.projection_scenario import GivenProjection, Projected, given_projection
    from eventbus.testing.samples import check_samples
    from eventbus.testing.scenario import Given, GivenAggregate, Outcome, given
    from eventbus.testing.virtual_clock import VirtualClock

__all__ = [
    "Given",
    "GivenAggregate",
    "GivenHandler",
    "GivenProjection",
    "Outcome",
    "Projected",
    "RunningEventBus",
    "VirtualClock",
    "any_order",
    "check_samples",
    "given",
    "given_handler",
    "given_projection",
    "project",
]

_HOMES: Final = {
    "eventbus.testing.any_order": ("any_order", "project"),
    "eventbus.testing.event_bus": ("RunningEventBus",),
    "eventbus.testing.handler_scenario": ("GivenHandler", "given_handler"),
    "eventbus.testing.projection_scenario": ("GivenProjection", "Projected", "given_projection"),
    "eventbus.testing.samples": ("check_samples",),
    "eventbus.testing.scenario": ("Given", "GivenAggregate", "Outcome", "given"),
    "eventbus.testing.virtual_clock": ("VirtualClock",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value

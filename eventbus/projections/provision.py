"""
`View[P]` as something that a handler may ask for.
"""

from collections.abc import Iterable
from typing import get_args, get_origin

from eventbus.database.engine import Database
from eventbus.errors import DefinitionError
from eventbus.handlers.provision import Provider, Source
from eventbus.projections.definition import AnyProjection
from eventbus.projections.view import View


def view_provider(database: Database, projections: Iterable[type[AnyProjection]]) -> Source:
    """
    The source of views for handlers' parameters.

    It raises DefinitionError for a View of a projection that is in none of the application's modules.
    """
    views: dict[object, Provider] = {}
    for projection in projections:
        view = View(projection, database)
        views[projection] = _provider(view)

    def source(annotation: object) -> Provider | None:
        if annotation is View:
            raise DefinitionError("View has to say of what: View[OrderSummaries]")
        if get_origin(annotation) is not View:
            return None
        (projection,) = get_args(annotation)
        if projection not in views:
            known = ", ".join(sorted(found.__name__ for found in views if isinstance(found, type))) or "none"
            raise DefinitionError(
                f"View[{getattr(projection, '__name__', projection)}]: no module of the application defines that "
                f"projection; it has {known}: add the module to Application(modules=[…])"
            )
        return views[projection]

    return source


def _provider(view: View[AnyProjection]) -> Provider:
    return Provider(lambda _: view)

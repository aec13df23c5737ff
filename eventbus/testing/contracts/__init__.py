"""
What every backend promises, as test classes: for whoever brings a database or a log of his own.

A class names its promises in its tests and asks for fixtures. Whoever derives from it gives them:

    database    an open `Database` with the framework's tables, empty, of this test's own
    make_database
                opens that database once more at each call
    transport   a started `Transport`, on a log of any content: the tests use topics and groups of their own
    log         with `kill()` and `start()`: the broker behind the transport, to be taken away and given back

The tests are asynchronous and marked for anyio. The framework's own backends are held to the very same classes.
How-to: docs/how-to/bring-your-own-backend.md
"""

import pkgutil

import pytest

# Before the modules are imported: their asserts then tell both sides, as those in a test file do.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

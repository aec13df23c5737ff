"""
What Alembic runs for each command: the connection, inside its transaction, is given by `eventbus.database.Migrations`.
"""

from alembic import context

from eventbus.database.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    on_version_apply=context.config.attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()

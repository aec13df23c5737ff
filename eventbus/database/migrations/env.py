"""
What Alembic runs for each command, called by `eventbus.database.Migrations`: on a connection, inside its transaction,
or without one, for the statements alone.
"""

from alembic import context

from eventbus.database.migrations import VERSION_TABLE

_given = context.config.attributes
if context.is_offline_mode():
    # Alembic leaves BEGIN and COMMIT out for SQLite, whose tables can be made in a transaction all the same.
    context.configure(
        dialect_name=_given["dialect"], version_table=VERSION_TABLE, literal_binds=True, transactional_ddl=True
    )
else:
    context.configure(
        connection=_given["connection"], version_table=VERSION_TABLE, on_version_apply=_given["on_version_apply"]
    )
with context.begin_transaction():
    context.run_migrations()

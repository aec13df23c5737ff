from tests.contracts.databases import database, database_url, postgres_server, postgres_url, sqlite_template

__all__ = ["database", "database_url", "postgres_server", "postgres_url", "sqlite_template"]

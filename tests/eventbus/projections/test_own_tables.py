import pytest
from sqlalchemy import MetaData, Table

from eventbus.projections.own_tables import OwnTables

OWN = OwnTables("turnover", [Table("view_turnover_1_days", MetaData()), Table("view_turnover_1_hours", MetaData())])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM orders FOR UPDATE",
        "SELECT * FROM orders FOR NO KEY UPDATE SKIP LOCKED",
        'INSERT INTO "view_turnover_1_days" (day) VALUES ($1) ON CONFLICT (day) DO UPDATE SET n = excluded.n',
        "UPDATE view_turnover_1_days SET last_update = now()",
        "update only public.view_turnover_1_hours set note = 'UPDATE orders, DELETE FROM orders; it''s said'",
        "WITH x AS (DELETE FROM view_turnover_1_hours RETURNING *) INSERT INTO view_turnover_1_days SELECT * FROM x",
        "INSERT OR REPLACE INTO view_turnover_1_days VALUES (?)",
    ],
)
def test_its_own_tables_may_be_written_and_any_may_be_read(statement: str) -> None:
    """Locks, conflict clauses and texts are no writes."""
    assert OWN.foreign(statement) is None


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO eventbus_outbox (id) VALUES ($1)", "eventbus_outbox"),
        ('UPDATE "customers" SET seen = 1', "customers"),
        ("UPDATE OR IGNORE customers SET seen = 1", "customers"),
        ("DELETE FROM shop.customers", "customers"),
        ("INSERT OR IGNORE INTO mails VALUES (?)", "mails"),
        ("REPLACE INTO mails VALUES (?)", "mails"),
        ("MERGE INTO mails USING view_turnover_1_days ON true WHEN MATCHED THEN DELETE", "mails"),
        ("WITH x AS (UPDATE mails SET sent = 1 RETURNING id) SELECT * FROM x", "mails"),
        ("TRUNCATE mails", "mails"),
        ("DROP TABLE IF EXISTS mails", "mails"),
        ("CREATE TEMPORARY TABLE IF NOT EXISTS mails (id int)", "mails"),
        ("INSERT INTO view_turnover_2_days VALUES (?)", "view_turnover_2_days"),
    ],
)
def test_a_write_to_any_other_table_is_told_by_its_name(statement: str, table: str) -> None:
    """Wherever in the statement it stands; another generation's table is another's, too."""
    assert OWN.foreign(statement) == table

"""The database's schema as sorted lines of text, so that two schemas can be compared."""

from __future__ import annotations

from django.db import connection

CATALOG = """
SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' null=' || is_nullable
    || ' default=' || COALESCE(column_default, '-') || ' identity=' || is_identity
    || ' length=' || COALESCE(character_maximum_length::text, '-') || ' collation=' || COALESCE(collation_name, '-')
FROM information_schema.columns WHERE table_schema = 'public' AND table_name LIKE 'orchestrator_%'
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid::regclass::text LIKE 'orchestrator_%'
UNION ALL
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename LIKE 'orchestrator_%'
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(trigger.oid) FROM pg_trigger trigger JOIN pg_class ON tgrelid = pg_class.oid
WHERE relname LIKE 'orchestrator_%' AND NOT tgisinternal
UNION ALL
SELECT 'function ' || regexp_replace(pg_get_functiondef(oid), '\\s+', ' ', 'g')
FROM pg_proc WHERE proname LIKE 'orchestrator_%'
UNION ALL
SELECT 'options ' || relname || ' ' || array_to_string(ARRAY(SELECT unnest(reloptions) ORDER BY 1), ', ')
FROM pg_class WHERE relname LIKE 'orchestrator_%' AND reloptions IS NOT NULL
UNION ALL
SELECT 'rights ' || relname || ' ' || regexp_replace(relacl::text, '[^{,]+=', 'owner=', 'g')
FROM pg_class WHERE relname LIKE 'orchestrator_%' AND relkind = 'r' AND relacl IS NOT NULL
"""


def lines() -> list[str]:
    """One line for each column, constraint, index, trigger, function, storage option and changed privilege."""
    with connection.cursor() as cursor:
        cursor.execute(CATALOG)
        return sorted(" ".join(str(row[0]).split()) for row in cursor.fetchall())

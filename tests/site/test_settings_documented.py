"""docs/operations.md has the table of settings as they are declared."""

from __future__ import annotations

from orchestrator_site.configuration import env


def test_the_table_of_settings_is_that_of_the_declarations():
    table = (env.BASE_DIR / "docs" / "operations.md").read_text().split("## Settings")[1].split("\n## ")[0]
    assert [row for row in table.splitlines() if row.startswith("| `")] == env.table()


def test_every_setting_has_a_meaning_and_a_variable_of_its_own():
    declared = list(env.declared().values())
    assert len({one.name for one in declared}) == len(declared) > 40
    assert [one.name for one in declared if not one.meaning] == []

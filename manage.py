#!/usr/bin/env python3
"""Django's command line for the orchestrator.

A wrong or missing setting ends here as one line for each variable and exit code 2, never as a traceback.
"""

import os
import sys


def main() -> int:
    """Run one management command and return the process exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    from django.core.management import execute_from_command_line

    from orchestrator_site.configuration.env import SettingsError
    from orchestrator_site.operations.embedded_postgres import EmbeddedDatabaseError

    try:
        execute_from_command_line(sys.argv)
    except SettingsError as error:
        for line in error.lines:
            sys.stderr.write(f"settings: {line}\n")
        return 2
    except EmbeddedDatabaseError as error:
        sys.stderr.write(f"database: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

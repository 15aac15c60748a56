"""`python -m bundles.format`."""

import sys

from bundles.format.cli.cli import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Build the verifier as one file: `build_verifier.py OUTPUT`, run as `python3 OUTPUT BUNDLE --key PEM`.

The file holds `bundles.format` and needs Python 3.11 or newer, cryptography, and zstandard for bundles in zstd. Equal
sources give equal bytes, so anyone can build it again and compare.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTERPRETER = b"#!/usr/bin/env python3\n"
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest a zip file can hold; a date of the build would make its bytes differ

# Kept to the syntax of every Python 3, so that an old one gets to the sentence that says what is needed.
MAIN = """\
import sys

NEEDS = "verify_bundle needs Python 3.11 or newer with the packages cryptography and zstandard; missing here: "

if sys.version_info < (3, 11):
    sys.stderr.write(NEEDS + "Python 3.11 (this is %d.%d)\\n" % sys.version_info[:2])
    sys.exit(2)
missing = []
for name in ("cryptography", "zstandard"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
if missing:
    sys.stderr.write(NEEDS + ", ".join(missing) + " (pip install " + " ".join(missing) + ")\\n")
if "cryptography" in missing:
    sys.exit(2)

from bundles.format.cli.verifier import main

sys.exit(main())
"""


def main() -> int:
    """Write the archive to the path that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: build_verifier.py OUTPUT\n")
        return 2
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    modules = [ROOT / "bundles" / "__init__.py", *sorted((ROOT / "bundles" / "format").rglob("*.py"))]
    with output.open("wb") as file:
        file.write(INTERPRETER)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            add(archive, "__main__.py", MAIN.encode())
            for module in modules:
                add(archive, module.relative_to(ROOT).as_posix(), module.read_bytes())
    output.chmod(0o755)
    print(f"{output}: {output.stat().st_size} bytes; needs Python 3.11 or newer, cryptography and zstandard")
    return 0


def add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add one file whose entry says nothing of the machine or the moment."""
    entry = zipfile.ZipInfo(name, OLDEST_DATE)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


if __name__ == "__main__":
    sys.exit(main())

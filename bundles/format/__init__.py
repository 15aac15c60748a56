"""The bundle format, alone: no Django, no database, nothing else of this project.

`writer` makes bundles, `verify` checks them by the numbered plan of docs/bundle-format.md, `extract` unpacks what was
verified; `python -m bundles.format` is the same for a shell.
"""

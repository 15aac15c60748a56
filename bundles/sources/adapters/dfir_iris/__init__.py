"""DFIR-IRIS: a case's timeline, alerts, datastore files and evidence register. `docs/sources/dfir-iris.md`."""

"""Reads flows and hunts from Velociraptor by its gRPC API; needs the extra `requirements-velociraptor.txt`."""

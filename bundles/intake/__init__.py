"""Import of collections: a delivered file becomes a signed bundle, without a service."""

"""Sample services and a synthetic incident, to try everything without upstream services."""

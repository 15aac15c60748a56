"""Sample services and a synthetic incident, so that everything can be tried without any upstream."""

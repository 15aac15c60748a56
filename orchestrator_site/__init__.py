"""The site: settings, URLs, checks, metrics, health, error mapping, client certificates and the home page."""

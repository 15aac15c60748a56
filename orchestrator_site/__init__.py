"""The site: settings, URLs, accounts, system checks, metrics, health, error mapping and the console's home page."""

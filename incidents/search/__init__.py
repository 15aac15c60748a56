"""The search over everything that this server knows: incidents, jobs, bundles, artifacts, events and alerts."""

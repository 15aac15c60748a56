"""The KillChain, DB and Forensic services of RansomEye: timeline, alerts, artifact records and content."""

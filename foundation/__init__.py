"""What every other package may use: of no domain, and importing nothing of ours."""

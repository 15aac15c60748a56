"""People, roles, tokens, client certificates, sessions and sign-in."""

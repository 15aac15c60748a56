"""Users, roles, API tokens, client certificates, sessions and sign-in."""

"""Finished runs that travel with the package, and where a user's runs lie among them."""

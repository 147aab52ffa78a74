"""Everything that speaks to a product: thin clients, their contracts, and loopback stand-ins."""

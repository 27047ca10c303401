"""The ledger: one row a request, what clients said of answers, and how both are read back as data."""

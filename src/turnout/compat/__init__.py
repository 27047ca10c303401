"""Other libraries' interfaces on top of Turnout, for those who come from them."""

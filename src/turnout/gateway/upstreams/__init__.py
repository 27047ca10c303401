"""The addresses of providers: which one a call goes to, when one is left alone, and who calls it."""

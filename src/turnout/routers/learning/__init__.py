"""The mathematics that routers learn with. None of it knows what a router is."""

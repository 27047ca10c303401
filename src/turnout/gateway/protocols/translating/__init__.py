"""Between protocols: pure functions from dict to dict, and from event to event.

A field is translated, left out because it changes no answer (each direction lists those), or refused by name: nothing
that would change the answer is dropped in silence.
"""

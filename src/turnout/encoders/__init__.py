"""Encoders turn query text into vectors, locally by default."""

"""Versions that go, and documents that are taken out of all versions."""

"""Unit tests; every neighbour is a mock."""

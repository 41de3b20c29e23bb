"""PRIME: conservative objective models."""

"""Bytes on disk: what a shard looks like, how it is written whole or not at all, how it is read with suspicion."""

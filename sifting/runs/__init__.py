"""Runs on disk: their files, the reference's lists in them, their locks, and how they are found."""

"""Runs on disk: their files, the reference's lists in them, and how they are found."""

"""Names of the event files that TensorBoard reads, see tensorboard.py."""

import re

EVENT_FILE = re.compile(r"events\.out\.tfevents\.(?P<round>\d{6,})(\.from_\d+)?")


def event_file_name(number: int, start: str | None = None) -> str:
    """Of the finished round, or of its training from step `start` on: a number, or a pattern for glob."""
    return f"events.out.tfevents.{number:06d}" + ("" if start is None else f".from_{start}")

"""Drivers: each sequences train, score, mask, rewind for one method section of the input file."""

from sifting.drivers import imp

DRIVERS = {"IMP": imp.run}

"""Drivers: each sequences train, score, mask, rewind for one method section of the input file."""

from sifting.drivers import cavity, imp, initialisation, layer_by_layer, oneshot

DRIVERS = {
    "IMP": imp.run,
    "OneShot": oneshot.run,
    "SNIP": initialisation.run_snip,
    "SynFlow": initialisation.run_synflow,
    "Random": initialisation.run_random,
    "LayerByLayer": layer_by_layer.run,
    "GraSP": initialisation.run_grasp,
    "Cavity": cavity.run,
}

"""How pruning finds structure in neural networks: a TensorFlow 2 / Keras 3 port of SiftingFeatures."""

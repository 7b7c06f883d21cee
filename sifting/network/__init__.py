"""Networks: their values and rounds, Keras models, the forward pass, statistics of what passes through."""

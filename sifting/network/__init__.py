"""Networks: architectures' values, Keras models, forward passes, statistics of what passes through."""

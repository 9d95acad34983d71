"""Qt-free heart: data, network, loss, training, prediction and evaluation."""

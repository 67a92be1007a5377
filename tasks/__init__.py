"""Families of functions to minimise, one module each. The table below is the registration: one line a family.

Tasks know neither the optimizers nor the engine.
"""

FAMILIES = {
    "quadratic": ("tasks.quadratic:Quadratic", "random quadratics ‖Wθ − y‖²"),
    "mnist-mlp": ("tasks.mnist:MnistMlp", "multilayer perceptron on MNIST digits"),
    "cifar-cnn": ("tasks.cifar:CifarCnn", "convolutional network on CIFAR-10, or on crops of ten photographs"),
    "neural-art": ("tasks.neural_art:NeuralArt", "a photograph painted in the style of another, over VGG features"),
}
"""Name → (module:class, summary). Modules are imported when a task is asked for."""

"""Families of functions to minimise, one module each. The table below is the registration: one line a family.

Tasks know neither the optimizers nor the engine.
"""

from importlib import resources

from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX

FAMILIES = {
    "quadratic": ("l2obench.tasks.quadratic:Quadratic", "random quadratics ‖Wθ − y‖²"),
    "mnist-mlp": ("l2obench.tasks.mnist:MnistMlp", "multilayer perceptron on MNIST digits"),
    "perceptron": (
        "l2obench.tasks.perceptron:Perceptron",
        "multilayer perceptron on 8×8 digits, MNIST-1D, or photographs",
    ),
    "logistic": ("l2obench.tasks.logistic:Logistic", "logistic regression on small real data: convex"),
    "autoencoder": ("l2obench.tasks.autoencoder:Autoencoder", "autoencoder of fully connected layers on MNIST digits"),
    "char-transformer": (
        "l2obench.tasks.transformer:CharTransformer",
        "transformer that predicts the next character of a text",
    ),
    "sinusoid": (
        "l2obench.tasks.sinusoid:Sinusoid",
        "a small network on one sine wave, from a random or a learned start",
    ),
    "ill-conditioned": (
        "l2obench.tasks.ill_conditioned:IllConditioned",
        "quadratics with a spectrum over orders of magnitude",
    ),
    "chained-rosenbrock": ("l2obench.tasks.rosenbrock:ChainedRosenbrock", "a curved valley in two or more dimensions"),
    "cifar-cnn": ("l2obench.tasks.cifar:CifarCnn", "convolutional network on CIFAR-10, or on crops of ten photographs"),
    "neural-art": (
        "l2obench.tasks.neural_art:NeuralArt",
        "a photograph painted in the style of another, over VGG features",
    ),
    "practice-resnet": ("l2obench.tasks.practice.resnet:ResNet", "residual network with batch norm on photographs"),
    "practice-char-gpt": ("l2obench.tasks.practice.char_gpt:CharGPT", "GPT of characters"),
    "practice-vit": ("l2obench.tasks.practice.vit:ViT", "vision transformer on photographs"),
    "practice-gru": ("l2obench.tasks.practice.gru:GRU", "GRU that classifies signals"),
    "practice-char-lstm": ("l2obench.tasks.practice.char_lstm:CharLSTM", "LSTM as a language model of characters"),
    "practice-vae": ("l2obench.tasks.practice.vae:VAE", "variational autoencoder on digits; kept aside"),
    "practice-tabular": ("l2obench.tasks.practice.tabular:Tabular", "perceptron on a table of numbers and categories"),
    "practice-depthwise": (
        "l2obench.tasks.practice.depthwise:Depthwise",
        "network of depthwise convolutions on digits; kept aside",
    ),
    "practice-denoiser": (
        "l2obench.tasks.practice.denoiser:Denoiser",
        "U-Net that finds the noise in photographs; kept aside",
    ),
    "practice-factorization": (
        "l2obench.tasks.practice.factorization:Factorization",
        "embeddings of words by factorisation",
    ),
    "practice-contrastive": (
        "l2obench.tasks.practice.contrastive:Contrastive",
        "two encoders that learn which halves of digits belong together; kept aside",
    ),
    "practice-burgers": (
        "l2obench.tasks.practice.burgers:Burgers",
        "physics-informed network for Burgers' equation; kept aside",
    ),
    "practice-coordinates": (
        "l2obench.tasks.practice.coordinates:Coordinates",
        "network of sines that is a photograph",
    ),
    "practice-flow": ("l2obench.tasks.practice.flow:Flow", "normalising flow of 8×8 digits; kept aside"),
    "practice-graph": ("l2obench.tasks.practice.graph:Graph", "graph network on digits as points; kept aside"),
    "regression": ("l2obench.tasks.small.regression:Regression", "a perceptron on a random smooth function"),
    "digit-cnn": ("l2obench.tasks.small.digit_cnn:DigitCnn", "two convolutions on 8×8 digits, with batch norm"),
    "digit-autoencoder": ("l2obench.tasks.small.digit_autoencoder:DigitAutoencoder", "autoencoder of 8×8 digits"),
    "char-rnn": ("l2obench.tasks.small.char_rnn:CharRnn", "recurrent network that predicts the next character"),
    "char-attention": ("l2obench.tasks.small.char_attention:CharAttention", "a very small transformer on characters"),
    "factorisation": ("l2obench.tasks.small.factorisation:Factorisation", "a matrix of low rank, known in places"),
    "deblurring": ("l2obench.tasks.small.deblurring:Deblurring", "a picture from its blurred form"),
}
"""Name → (module:class, summary). Modules are imported when a task is asked for."""


def shipped_starts(family: str) -> list[str]:
    """Names of the starts that come with the package for a family.

    Args:
        family: the task's name, such as `sinusoid`.

    Returns:
        Sorted names; none for a family without starts.
    """
    folder = resources.files("l2obench.tasks") / "starts" / family
    names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(TENSOR_FILE_SUFFIX) for name in names if name.endswith(TENSOR_FILE_SUFFIX))

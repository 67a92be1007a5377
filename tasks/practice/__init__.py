"""Problems of the kinds that people train, one a file: the ground on which rules are compared that were made elsewhere.

Half of the kinds are kept aside. No learned optimizer is trained, validated or designed on them.
"""

OPEN = (
    "practice-resnet",
    "practice-char-gpt",
    "practice-vit",
    "practice-gru",
    "practice-char-lstm",
    "practice-tabular",
    "practice-factorization",
    "practice-coordinates",
)
"""Kinds that a learned optimizer may be trained on."""
KEPT_ASIDE = (
    "practice-depthwise",
    "practice-denoiser",
    "practice-vae",
    "practice-contrastive",
    "practice-burgers",
    "practice-flow",
    "practice-graph",
)
"""Kinds that no meta-training, no validation and no design has used: `Practice.require_trainable` refuses them."""

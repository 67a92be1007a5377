"""Rules as optimizers of torch, for training loops that know nothing of l2obench."""

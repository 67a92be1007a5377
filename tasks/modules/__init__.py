"""What `ModuleTask` is made of: minibatches from any source, randomness by seed, and replicas of one module."""

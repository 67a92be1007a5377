"""Rules with meta-parameters, and what they are made of."""

"""Small problems of many kinds, a few thousand coordinates each: made for meta-training a rule that is to suit all."""

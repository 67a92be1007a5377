"""The page: what it says, what its script draws, its templates."""

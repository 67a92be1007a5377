"""Where data come from: wheels, downloads, what is checked of them."""

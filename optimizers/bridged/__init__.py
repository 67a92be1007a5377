"""Rules of torch and of other libraries, and the bridges to them."""

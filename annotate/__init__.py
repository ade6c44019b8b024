"""Labels, and the people who make them."""

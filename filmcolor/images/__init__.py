"""Image files, and sheets of pictures."""

"""Image files, sheets of pictures, and measures of sharpness."""

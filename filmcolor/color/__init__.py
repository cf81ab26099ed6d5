"""Colour science: Lab, RGB and YCbCr, gamut, chroma upsampling and dither."""

"""Optical flow, anchors, and smoothing of ab in time."""

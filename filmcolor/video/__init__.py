"""Reads films: demuxing, probing, decoding, low-res proxies."""

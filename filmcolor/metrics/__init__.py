"""Metrics of colours: colourfulness, consistency over time, and error against true colours."""

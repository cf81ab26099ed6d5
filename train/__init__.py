"""Training: stills in, weights out. Installed as `filmcolor.train`.

Only `stills` and the evaluation of films read films; everything else runs without PyAV.
"""

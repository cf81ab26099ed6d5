"""The studio: a local web page on which a film is looked at, corrected and coloured."""

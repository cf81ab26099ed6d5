"""What a person says about a film's colours: references, scribbles, grades."""

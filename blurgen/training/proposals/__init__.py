"""Training of the weights that the proposals come with: contours and scores."""

"""How good a blur map is, and training-free detectors to compare with. Nothing here needs torch."""

"""The algorithms behind ``blurgen.fill``, one a module: ``(image, blur_mask, reach_px, radius_px) -> filled``."""

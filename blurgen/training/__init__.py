"""Training with torch. The only package that imports it; generating pairs needs none of this."""

"""The decision: parameters, lazy context, scores and the brain; no clock, I/O or chance."""

"""The six steps, one module each, and the frame that they share."""

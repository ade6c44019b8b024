"""Guesses of what is in a frame, so that people correct instead of drawing from nothing."""

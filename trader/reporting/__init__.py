"""Figures, words and pictures from stored rows; nothing here reads a file or asks anybody."""

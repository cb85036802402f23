"""Kills an import or a back-fill in the middle and looks what is left."""

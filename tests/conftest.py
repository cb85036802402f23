"""Being here puts this folder on the path, so that tests of every layer can import the kits beside this file."""

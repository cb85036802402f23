"""One deployment a file: the body of each flow reads as the sentence of its job."""

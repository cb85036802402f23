"""One writer, three readers, folding and the collector at once; every read is compared with a checksum the writer stored."""

"""The twins of Kraken and Gemini, the simulated clock and its transports."""

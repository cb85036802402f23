"""Buying verdicts from Gemini: the only home of google-genai."""

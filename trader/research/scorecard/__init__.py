"""Whether the AI's verdicts earn their place: calibration, what vetoes saved, and what follows from it (AI.md section 7). Pure."""

"""Every row of the gate's rule table, broken once: `python -m tests.gate_table`."""

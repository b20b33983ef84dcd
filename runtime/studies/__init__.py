"""Many edits, judged by independent probes."""

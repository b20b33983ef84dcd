"""Hair colours that are solved for, from what edits do to faces."""

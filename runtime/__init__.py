"""Editing, inversion and serving: what runs on top of the models."""

from styleclip_rt.threads import wait_briefly

# Torch reads this when it is loaded; what needs torch is imported further in.
wait_briefly()

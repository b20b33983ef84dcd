from hypothesis import settings

# The same examples on every run, and no limit on an example's time on a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")

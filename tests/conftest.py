"""Settings for all tests: processes as the command line sets them up, repeatable property tests."""

from hypothesis import settings

from bench.process import set_up_process

set_up_process()
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

"""
What a service's own tests are written with.
"""

from eventbus.testing.samples import check_samples
from eventbus.testing.scenario import Given, GivenAggregate, Outcome, given

__all__ = ["Given", "GivenAggregate", "Outcome", "check_samples", "given"]

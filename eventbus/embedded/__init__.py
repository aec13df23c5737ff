"""
`embedded:DIR`: a broker in a process of its own, shared by the services that were given the same directory.
"""

from eventbus.embedded.instance import InstanceLease
from eventbus.embedded.member import EmbeddedMember, joined
from eventbus.embedded.shared_broker import SharedBroker

__all__ = ["EmbeddedMember", "InstanceLease", "SharedBroker", "joined"]

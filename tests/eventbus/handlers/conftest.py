from tests.eventbus.handlers.modules import write_module

__all__ = ["write_module"]

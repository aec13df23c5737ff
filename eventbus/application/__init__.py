"""The composition root: an application is built from modules, checked as a whole, and run."""

from eventbus.application.application import Application
from eventbus.application.status import ApplicationStatus

__all__ = ["Application", "ApplicationStatus"]

"""One module a revision, never changed after a release."""

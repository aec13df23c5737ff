"""Consumer groups of the new protocol (KIP-848): the broker assigns, the members report and obey."""

"""Decides whether a customer's credit covers an order."""

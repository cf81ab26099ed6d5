"""Compares weights with true colours."""

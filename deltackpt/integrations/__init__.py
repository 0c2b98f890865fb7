"""Frameworks that people train with, each module by itself: it imports its framework, and nothing else imports it."""

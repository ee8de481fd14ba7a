# Written by tools/make_sync.py from agentbay/_async/__init__.py; change that file instead.
"""The synchronous half of the SDK."""

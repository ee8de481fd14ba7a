"""The SDK's version, as it is reported to the bay."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("agentbay")
except PackageNotFoundError:  # a source tree that is not installed
    VERSION = "0.0.0"

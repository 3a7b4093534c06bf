"""pbxfed: federates Asterisk PBXs. Start reading at `core/`, in the order its docstring gives."""

__version__ = "0.1.0"

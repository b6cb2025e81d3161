"""Secrets Manager's rules, written once: for the emulator, and for a double in memory.

The modules here import nothing but the standard library, since the emulator runs in an
environment of its own; but for `client`, which raises what boto3 raises.
"""

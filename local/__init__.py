"""The embedded cloud of the demo and the tests.

Everything the program talks to, on loopback and without Docker: an AWS emulator, Secrets Manager
in memory by the same rules, and an authorization server with the dialects and failures that real
token endpoints have. Nothing here is deployed, and nothing that is deployed imports it.
"""

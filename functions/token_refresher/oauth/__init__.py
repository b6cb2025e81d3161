"""One token endpoint: what is sent to it, how, and what its responses mean (RFC 6749).

It knows no AWS and no account, and could be a library of its own.
"""

"""The command line ``token-refresher``, for the people who look after the accounts.

It decides nothing that the function does not decide: it uses the program's own policy, store
and token endpoint. It is no part of what is deployed.
"""

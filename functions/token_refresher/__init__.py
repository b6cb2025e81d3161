"""Keeps OAuth 2.0 bearer tokens fresh in AWS Secrets Manager."""

__version__ = "1.0.0"
PRODUCT_USER_AGENT = f"token-refresher/{__version__}"

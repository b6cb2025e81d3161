"""What people run from a checkout: the demo, its picture, the artifact, a local deployment.

Nothing here is deployed, and nothing in ``functions/`` or ``cli/`` imports it.
"""

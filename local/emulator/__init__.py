"""ministack, with a Secrets Manager that keeps versions and stages as AWS documents them.

It runs in an environment of its own, because ministack pins its own botocore:
``python -m local.emulator``, started by ``local.embedded_cloud``. The modules here import nothing
but the standard library and ministack.
"""

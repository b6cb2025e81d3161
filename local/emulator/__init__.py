"""ministack, brought nearer to AWS where this project depends on it.

Its Secrets Manager keeps versions and stages as AWS documents them, and asks KMS; its functions
run isolated and are counted; its alarms go off; its policies see which events are put; its KMS and
STS ask IAM as AWS's do, and its identity tokens can be verified. What is not mentioned here is
ministack's own.

It runs in an environment of its own, because ministack pins its own botocore:
``python -m local.emulator``, started by ``local.embedded_cloud``. The modules here import nothing
but the standard library, ministack and the cryptography that it signs with.
"""

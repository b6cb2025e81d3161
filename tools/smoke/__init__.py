"""Asks a real AWS account what no local one can settle: `make smoke-aws`, `make smoke-aws-stack`.

Each question has the answer that AWS documents. What comes back is *as documented*, *differs* or
*unknown*, beside what was measured; nothing is deployed, kept or changed but what is named first.
"""

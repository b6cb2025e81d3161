# A workload that reads one published token, and the empty secret that the account begins with.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "role_name" {
  description = "The workload's role."
  type        = string
}

locals {
  account      = "dealer-17"
  token_secret = "oauth/tokens/${local.account}"
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

# Without a version: what Terraform writes is kept in its state. A person or a pipeline puts the
# credentials, with `aws secretsmanager put-secret-value`.
resource "aws_secretsmanager_secret" "credentials" {
  name        = "oauth/credentials/${local.account}"
  description = "Credentials of ${local.account}, for Token Refresher alone."

  lifecycle {
    prevent_destroy = true
  }
}

# The token secret is made by the function. It is neither a resource here, nor a data source: its
# value would be kept in the state, and be old when it is used.
data "aws_iam_policy_document" "read_token" {
  statement {
    sid     = "ReadThisToken"
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = [join(":", [
      "arn", data.aws_partition.this.partition, "secretsmanager", data.aws_region.this.name,
      data.aws_caller_identity.this.account_id, "secret", "${local.token_secret}-??????",
    ])]
  }
}

resource "aws_iam_role_policy" "read_token" {
  name   = "read-token-of-${local.account}"
  role   = var.role_name
  policy = data.aws_iam_policy_document.read_token.json
}

output "token_secret" {
  description = "What the workload finds in TOKEN_SECRET."
  value       = local.token_secret
}

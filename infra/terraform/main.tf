variable "name" {
  description = "The stack's name, which is the function's too."
  type        = string
  default     = "token-refresher"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]*$", var.name)) && length(var.name) <= 64
    error_message = "name must be a letter, then letters, digits and hyphens, 64 characters at most; 55 with triggers or rotation."
  }
}

variable "tags" {
  description = "Tags of the stack, and so of all that it creates, besides resource_tags."
  type        = map(string)
  default     = {}
}

resource "aws_cloudformation_stack" "token_refresher" {
  name = var.name
  # Not by its address: what changes at an address is not seen in a plan.
  template_body = file("${path.module}/template.yaml")
  # It has roles, and functions in the form of SAM, which CloudFormation expands.
  capabilities = ["CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM"]
  parameters   = local.parameters
  # What the function creates and what the stack creates are tagged alike.
  tags = merge(coalesce(var.resource_tags, {}), coalesce(var.tags, {}))

  timeouts {
    # A function leaves its VPC slowly.
    delete = "60m"
  }

  lifecycle {
    precondition {
      condition     = length(var.name) <= 55 || !(coalesce(var.triggers, false) || coalesce(var.rotation, false))
      error_message = "With triggers or rotation name must have 55 characters at most."
    }
  }
}

output "name" {
  description = "The stack's name."
  value       = aws_cloudformation_stack.token_refresher.name
}

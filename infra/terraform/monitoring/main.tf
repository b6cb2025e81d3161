variable "tags" {
  description = "Tags of the stack, and so of all that it creates."
  type        = map(string)
  default     = {}
}

resource "aws_cloudformation_stack" "monitoring" {
  name          = "${var.function_stack_name}-monitoring"
  template_body = file("${path.module}/monitoring.yaml")
  parameters    = local.parameters
  tags          = var.tags
}

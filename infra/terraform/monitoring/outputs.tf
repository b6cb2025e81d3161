# Written by `make docs` from infra/monitoring.yaml: change that instead.

output "dashboard_url" {
  description = "The dashboard."
  value       = aws_cloudformation_stack.monitoring.outputs["DashboardUrl"]
}

output "alarm_topic_arn" {
  description = "Where alarms go; subscribe whatever shall hear of them."
  value       = aws_cloudformation_stack.monitoring.outputs["AlarmTopicArn"]
}

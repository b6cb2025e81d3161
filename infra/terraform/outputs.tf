# Written by `make docs` from template.yaml: change that instead.

output "function_name" {
  description = "The function's name."
  value       = aws_cloudformation_stack.token_refresher.outputs["FunctionName"]
}

output "deploy_alarms" {
  description = "Deploy the alarms and the dashboard, which are a second stack."
  value       = aws_cloudformation_stack.token_refresher.outputs["DeployAlarms"]
}

output "onboard_account" {
  description = "Onboard an account, asking for what it needs."
  value       = aws_cloudformation_stack.token_refresher.outputs["OnboardAccount"]
}

output "onboard_without_it" {
  description = "The same without token-refresher, of credentials that are in dealer-17.json."
  value       = aws_cloudformation_stack.token_refresher.outputs["OnboardWithoutIt"]
}

output "read_token" {
  description = "Read the account's token."
  value       = aws_cloudformation_stack.token_refresher.outputs["ReadToken"]
}

output "see_what_is_due" {
  description = "See what the next sweep would do; nothing is changed."
  value       = aws_cloudformation_stack.token_refresher.outputs["SeeWhatIsDue"]
}

output "trigger_function_arn" {
  description = "What consumers may be granted to invoke, to hand in a token that was refused. Only with triggers."
  value       = lookup(aws_cloudformation_stack.token_refresher.outputs, "TriggerFunctionArn", null)
}

output "rotate_token" {
  description = "Rotate an account's token at once, and on the first day of each month. Only with rotation."
  value       = lookup(aws_cloudformation_stack.token_refresher.outputs, "RotateToken", null)
}

output "event_bus" {
  description = "Where changes of accounts are events; docs/events.md says how to see the first. Only with events."
  value       = lookup(aws_cloudformation_stack.token_refresher.outputs, "EventBus", null)
}

output "follow_log" {
  description = "Follow the log as it is written, by AWS CLI 2."
  value       = aws_cloudformation_stack.token_refresher.outputs["FollowLog"]
}

output "see_failed_events" {
  description = "See an invocation that failed, or was never made."
  value       = aws_cloudformation_stack.token_refresher.outputs["SeeFailedEvents"]
}

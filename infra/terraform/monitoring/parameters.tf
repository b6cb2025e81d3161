# Written by `make docs` from infra/monitoring.yaml: change that instead.

locals {
  # What is not given keeps the template's default.
  parameters = { for name, value in {
    FunctionStackName = var.function_stack_name
    ScheduleMinutes   = var.schedule_minutes
    AlarmEmail        = var.alarm_email
    AlarmTopicArn     = var.alarm_topic_arn
  } : name => tostring(value) if value != null }
}

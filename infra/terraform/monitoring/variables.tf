# Written by `make docs` from infra/monitoring.yaml: change that instead.

variable "function_stack_name" {
  description = "The stack of template.yaml; its function, log and metrics have the same name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(?:[A-Za-z][A-Za-z0-9-]*)$", var.function_stack_name))
    error_message = "function_stack_name must be the name of a stack."
  }

  validation {
    condition     = length(var.function_stack_name) <= 64
    error_message = "function_stack_name must have at most 64 characters."
  }
}

variable "schedule_minutes" {
  description = "The ScheduleMinutes of that stack. By default 5."
  type        = number
  default     = null

  validation {
    condition     = var.schedule_minutes == null ? true : contains([1, 5, 10, 15], var.schedule_minutes)
    error_message = "schedule_minutes must be one of 1, 5, 10, 15."
  }
}

variable "alarm_email" {
  description = "Address that is written to when an alarm goes off and when it is over. AWS asks it to confirm first. Empty for none."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null ? true : can(regex("^(?:([^@ ]+@[^@ ]+)?)$", var.alarm_email))
    error_message = "alarm_email must be one address, or nothing."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of an SNS topic of yours, in this Region, that alarms go to. CloudWatch cannot publish to one under the key alias/aws/sns. Empty for a topic of this stack."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null ? true : can(regex("^(?:(arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?)$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of a topic, or nothing."
  }
}

# Written by `make docs` from template.yaml: change that instead.

variable "artifact_bucket" {
  description = "Bucket in this Region that holds the release's artifacts, the .zip files."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(?:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])$", var.artifact_bucket))
    error_message = "artifact_bucket must be the name of a bucket."
  }
}

variable "artifact_prefix" {
  description = "Path of the artifacts in that bucket, such as releases/; empty for none."
  type        = string
  default     = null

  validation {
    condition     = var.artifact_prefix == null ? true : can(regex("^(?:([A-Za-z0-9!_.*'()-]+/)*)$", var.artifact_prefix))
    error_message = "artifact_prefix must be a path that ends in a slash, or nothing."
  }
}

variable "secret_prefix" {
  description = "Accounts are the secrets under {prefix}/credentials/, their tokens are published under {prefix}/tokens/. No other stack may have the same one; nor, where accounts sign, one that begins with it and a slash. By default oauth."
  type        = string
  default     = null

  validation {
    condition     = var.secret_prefix == null ? true : !can(regex("^(?:(.*/)?(credentials|tokens)(/|$))", var.secret_prefix))
    error_message = "secret_prefix must be a path such as oauth or team/oauth, without a part named credentials or tokens."
  }

  validation {
    condition     = var.secret_prefix == null ? true : can(regex("^(?:[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*)$", var.secret_prefix))
    error_message = "secret_prefix must be a path such as oauth or team/oauth, without a part named credentials or tokens."
  }

  validation {
    condition     = var.secret_prefix == null ? true : length(var.secret_prefix) <= 100
    error_message = "secret_prefix must have at most 100 characters."
  }
}

variable "allowed_token_hosts" {
  description = "Hosts to which credentials and tokens may be sent besides those of providers that are known by name and leave no host free. *.example.com stands for one label, * for any public name at port 443."
  type        = list(string)
  default     = null

  validation {
    condition     = var.allowed_token_hosts == null ? true : can(regex("^(?:((\\*|(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?)( *, *(\\*|(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?))*)?)$", join(",", var.allowed_token_hosts)))
    error_message = "allowed_token_hosts must be hosts such as login.example.com, *.example.com or *, or nothing."
  }

  validation {
    condition     = var.allowed_token_hosts == null ? true : length(join(",", var.allowed_token_hosts)) <= 2000
    error_message = "allowed_token_hosts must have at most 2000 characters."
  }
}

variable "refresh_tokens" {
  description = "With ignore the function may not write under {prefix}/credentials/, and accounts whose grant_type is refresh_token are refused. By default use."
  type        = string
  default     = null

  validation {
    condition     = var.refresh_tokens == null ? true : contains(["use", "ignore"], var.refresh_tokens)
    error_message = "refresh_tokens must be one of use, ignore."
  }
}

variable "signing" {
  description = "Whether accounts may sign, each with the KMS key alias/{prefix}/{account} alone. Their names and SecretPrefix then have letters, digits, _, - and / only, since an alias has no others. By default false."
  type        = bool
  default     = null
}

variable "web_identity_audiences" {
  description = "Audiences to whom AWS STS may say in a token which account the function runs for; empty for none. It needs no key at all, and is unproven on AWS."
  type        = list(string)
  default     = null

  validation {
    condition     = var.web_identity_audiences == null ? true : can(regex("^(?:([A-Za-z0-9:/._~@%+=&?#-]+(,[A-Za-z0-9:/._~@%+=&?#-]+)*)?)$", join(",", var.web_identity_audiences)))
    error_message = "web_identity_audiences must be audiences such as api://AzureADTokenExchange, or nothing."
  }

  validation {
    condition     = var.web_identity_audiences == null ? true : length(join(",", var.web_identity_audiences)) <= 400
    error_message = "web_identity_audiences must have at most 400 characters."
  }
}

variable "schedule_minutes" {
  description = "Minutes between two sweeps. One minute suits small stacks: an invocation must end before the next, so it begins refreshes for eight seconds only. By default 5."
  type        = number
  default     = null

  validation {
    condition     = var.schedule_minutes == null ? true : contains([1, 5, 10, 15], var.schedule_minutes)
    error_message = "schedule_minutes must be one of 1, 5, 10, 15."
  }
}

variable "refresh_before_seconds" {
  description = "Seconds before its expiry at which a token is due, but never before half its life. Longer than your consumers' cache, two sweeps and the outage that nobody should notice. By default 5400."
  type        = number
  default     = null

  validation {
    condition     = var.refresh_before_seconds == null ? true : var.refresh_before_seconds >= 1800 && var.refresh_before_seconds <= 604800 && floor(var.refresh_before_seconds) == var.refresh_before_seconds
    error_message = "refresh_before_seconds must be a whole number from 1800 to 604800."
  }
}

variable "triggers" {
  description = "Whether a second function serves new and corrected credentials within seconds, one account after the other, and takes refused tokens from consumers that you grant it to. By default false."
  type        = bool
  default     = null
}

variable "rotation" {
  description = "Whether there is a function for Secrets Manager's own rotation of token secrets, for those who must have it. By default false."
  type        = bool
  default     = null
}

variable "token_secret_kms_key_arn" {
  description = "ARN of the KMS key for the token secrets that the function creates. Empty for the AWS managed key, which other AWS accounts cannot read with."
  type        = string
  default     = null

  validation {
    condition     = var.token_secret_kms_key_arn == null ? true : can(regex("^(?:(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.token_secret_kms_key_arn))
    error_message = "token_secret_kms_key_arn must be the ARN of a key (not of an alias), or nothing."
  }
}

variable "credentials_kms_key_arn" {
  description = "ARN of the KMS key that you encrypt credentials secrets with, so that the function may read them. Empty for the AWS managed key."
  type        = string
  default     = null

  validation {
    condition     = var.credentials_kms_key_arn == null ? true : can(regex("^(?:(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.credentials_kms_key_arn))
    error_message = "credentials_kms_key_arn must be the ARN of a key (not of an alias), or nothing."
  }
}

variable "replica_regions" {
  description = "Regions that token secrets are copied to, and credentials never; empty for none. Each copy costs as much as a secret, and is under the AWS managed key there."
  type        = list(string)
  default     = null

  validation {
    condition     = var.replica_regions == null ? true : can(regex("^(?:([a-z]{2,}(-[a-z]+)+-[0-9]+(,[a-z]{2,}(-[a-z]+)+-[0-9]+)*)?)$", join(",", var.replica_regions)))
    error_message = "replica_regions must be Regions such as eu-central-1, or nothing."
  }

  validation {
    condition     = var.replica_regions == null ? true : length(join(",", var.replica_regions)) <= 100
    error_message = "replica_regions must have at most 100 characters."
  }
}

variable "architecture" {
  description = "The processor; the artifact must have been built for the same one. By default arm64."
  type        = string
  default     = null

  validation {
    condition     = var.architecture == null ? true : contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be one of arm64, x86_64."
  }
}

variable "memory_megabytes" {
  description = "Memory in MB, and with it the processor's share. A sweep of 5,000 accounts needs 60 of it; 512 are processor enough to refresh as fast as a Region lets it write. By default 512."
  type        = number
  default     = null

  validation {
    condition     = var.memory_megabytes == null ? true : var.memory_megabytes >= 256 && var.memory_megabytes <= 3008 && floor(var.memory_megabytes) == var.memory_megabytes
    error_message = "memory_megabytes must be a whole number from 256 to 3008."
  }
}

variable "max_workers" {
  description = "Accounts refreshed at once. By default 16."
  type        = number
  default     = null

  validation {
    condition     = var.max_workers == null ? true : var.max_workers >= 1 && var.max_workers <= 64 && floor(var.max_workers) == var.max_workers
    error_message = "max_workers must be a whole number from 1 to 64."
  }
}

variable "reserve_concurrency" {
  description = "Whether one concurrent execution is reserved, so that runs do not overlap. With false overlapping runs cost a request, no token; small AWS accounts cannot reserve. By default true."
  type        = bool
  default     = null
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of all roles, where your AWS account asks for one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null ? true : can(regex("^(?:(arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+)?)$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a managed policy, or nothing."
  }
}

variable "resource_tags" {
  description = "Tags of each token secret that the function creates, such as team=payments,cost-center=42, where your organisation demands some. Give the same ones to the stack."
  type        = map(string)
  default     = null

  validation {
    condition     = var.resource_tags == null ? true : can(regex("^(?:([A-Za-z0-9 +._:/@-]+=[A-Za-z0-9 +._:/@-]+(,[A-Za-z0-9 +._:/@-]+=[A-Za-z0-9 +._:/@-]+){0,7})?)$", join(",", [for name, value in var.resource_tags : "${name}=${value}"])))
    error_message = "resource_tags must be up to eight tags such as team=payments,cost-center=42, each key once, without a comma or = in them, or nothing."
  }

  validation {
    condition     = var.resource_tags == null ? true : length(join(",", [for name, value in var.resource_tags : "${name}=${value}"])) <= 500
    error_message = "resource_tags must have at most 500 characters."
  }

  validation {
    condition     = var.resource_tags == null ? true : alltrue([for name, value in var.resource_tags : !can(regex("[,=]", "${name}${value}"))])
    error_message = "resource_tags must be up to eight tags such as team=payments,cost-center=42, without a comma or = in them, or nothing."
  }
}

variable "log_retention_days" {
  description = "Days for which the function's log is kept. By default 30."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null ? true : contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653."
  }
}

variable "per_account_metrics" {
  description = "Whether SecondsUntilExpiry and MarginUsed are also emitted with the dimension account. CloudWatch bills two more metrics for each account. By default false."
  type        = bool
  default     = null
}

variable "events" {
  description = "Whether each change of an account's state is put on the default event bus: a new token, a failure, its end, a consent that is ending, an action that is required. By default false."
  type        = bool
  default     = null
}

variable "tracing" {
  description = "Whether X-Ray traces the function. It lengthens a cold start. By default false."
  type        = bool
  default     = null
}

variable "vpc_subnet_ids" {
  description = "Subnets that the function runs in; empty for none. They need a way to the token endpoints and to Secrets Manager."
  type        = list(string)
  default     = null

  validation {
    condition     = var.vpc_subnet_ids == null ? true : can(regex("^(?:(subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*)?)$", join(",", var.vpc_subnet_ids)))
    error_message = "vpc_subnet_ids must be ids such as subnet-0a1b2c3d, or nothing."
  }
}

variable "vpc_security_group_ids" {
  description = "Security groups of the function, where it runs in subnets of yours."
  type        = list(string)
  default     = null

  validation {
    condition     = var.vpc_security_group_ids == null ? true : can(regex("^(?:(sg-[0-9a-f]+(,sg-[0-9a-f]+)*)?)$", join(",", var.vpc_security_group_ids)))
    error_message = "vpc_security_group_ids must be ids such as sg-0a1b2c3d, or nothing."
  }
}

variable "token_endpoint_proxy" {
  description = "Proxy that token endpoints are reached through, such as http://proxy.example.com:3128; empty for none. AWS is reached without it."
  type        = string
  default     = null

  validation {
    condition     = var.token_endpoint_proxy == null ? true : can(regex("^(?:(http://[A-Za-z0-9.-]+:[0-9]{1,5})?)$", var.token_endpoint_proxy))
    error_message = "token_endpoint_proxy must be http://, a host, a colon and a port, such as http://proxy.example.com:3128; no https://, user, password or path; or nothing."
  }

  validation {
    condition     = var.token_endpoint_proxy == null ? true : length(var.token_endpoint_proxy) <= 300
    error_message = "token_endpoint_proxy must have at most 300 characters."
  }
}

variable "additional_ca_certificates" {
  description = "Certificates of authorities that token endpoints are believed by besides the public ones; PEM, or Base64 alone. One or two: all parameters must fit into 4 KB."
  type        = list(string)
  default     = null

  validation {
    condition     = var.additional_ca_certificates == null ? true : can(regex("^(?:[A-Za-z0-9+/=,\\\\\\s-]*)$", join(",", var.additional_ca_certificates)))
    error_message = "additional_ca_certificates must be certificates in PEM, or in Base64 alone; 3,000 characters."
  }

  validation {
    condition     = var.additional_ca_certificates == null ? true : length(join(",", var.additional_ca_certificates)) <= 3000
    error_message = "additional_ca_certificates must have at most 3000 characters."
  }
}

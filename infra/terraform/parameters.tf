# Written by `make docs` from template.yaml: change that instead.

locals {
  # What is not given keeps the template's default.
  parameters = { for name, value in {
    ArtifactBucket           = var.artifact_bucket
    ArtifactPrefix           = var.artifact_prefix
    SecretPrefix             = var.secret_prefix
    AllowedTokenHosts        = var.allowed_token_hosts == null ? null : join(",", var.allowed_token_hosts)
    RefreshTokens            = var.refresh_tokens
    Signing                  = var.signing
    WebIdentityAudiences     = var.web_identity_audiences == null ? null : join(",", var.web_identity_audiences)
    ScheduleMinutes          = var.schedule_minutes
    RefreshBeforeSeconds     = var.refresh_before_seconds
    Triggers                 = var.triggers
    Rotation                 = var.rotation
    TokenSecretKmsKeyArn     = var.token_secret_kms_key_arn
    CredentialsKmsKeyArn     = var.credentials_kms_key_arn
    ReplicaRegions           = var.replica_regions == null ? null : join(",", var.replica_regions)
    Architecture             = var.architecture
    MemoryMegabytes          = var.memory_megabytes
    MaxWorkers               = var.max_workers
    ReserveConcurrency       = var.reserve_concurrency
    PermissionsBoundaryArn   = var.permissions_boundary_arn
    ResourceTags             = var.resource_tags == null ? null : join(",", [for name, value in var.resource_tags : "${name}=${value}"])
    LogRetentionDays         = var.log_retention_days
    PerAccountMetrics        = var.per_account_metrics
    Events                   = var.events
    Tracing                  = var.tracing
    VpcSubnetIds             = var.vpc_subnet_ids == null ? null : join(",", var.vpc_subnet_ids)
    VpcSecurityGroupIds      = var.vpc_security_group_ids == null ? null : join(",", var.vpc_security_group_ids)
    TokenEndpointProxy       = var.token_endpoint_proxy
    AdditionalCaCertificates = var.additional_ca_certificates == null ? null : join(",", var.additional_ca_certificates)
  } : name => tostring(value) if value != null }
}

// Written by `make docs` from template.yaml and infra/monitoring.yaml: change that instead.

import { Construct } from "constructs";

/** What a parameter of a template takes. */
export interface Parameter {
  readonly name: string;
  readonly pattern?: string;
  /** What fits the pattern. */
  readonly fix?: string;
  readonly maxLength?: number;
  readonly minValue?: number;
  readonly maxValue?: number;
  readonly values?: ReadonlyArray<string | number>;
}

export interface Template {
  /** Its file, in this package. */
  readonly file: string;
  /** By the name of the prop. */
  readonly parameters: Readonly<Record<string, Parameter>>;
}

export interface TokenRefresherProps {
  /** Bucket in this Region that holds the release's artifacts, the .zip files. */
  readonly artifactBucket: string;
  /** Path of the artifacts in that bucket, such as releases/; empty for none. */
  readonly artifactPrefix?: string;
  /** Accounts are the secrets under {prefix}/credentials/, their tokens are published under {prefix}/tokens/. No other stack may have the same one; nor, where accounts sign, one that begins with it and a slash. By default oauth. */
  readonly secretPrefix?: string;
  /** Hosts to which credentials and tokens may be sent besides those of providers that are known by name and leave no host free. *.example.com stands for one label, * for any public name at port 443. */
  readonly allowedTokenHosts?: string[];
  /** With ignore the function may not write under {prefix}/credentials/, and accounts whose grant_type is refresh_token are refused. By default use. */
  readonly refreshTokens?: "use" | "ignore";
  /** Whether accounts may sign, each with the KMS key alias/{prefix}/{account} alone. Their names and SecretPrefix then have letters, digits, _, - and / only, since an alias has no others. By default false. */
  readonly signing?: boolean;
  /** Audiences to whom AWS STS may say in a token which account the function runs for; empty for none. It needs no key at all, and is unproven on AWS. */
  readonly webIdentityAudiences?: string[];
  /** Minutes between two sweeps. One minute suits small stacks: an invocation must end before the next, so it begins refreshes for eight seconds only. By default 5. */
  readonly scheduleMinutes?: 1 | 5 | 10 | 15;
  /** Seconds before its expiry at which a token is due, but never before half its life. Longer than your consumers' cache, two sweeps and the outage that nobody should notice. By default 5400. */
  readonly refreshBeforeSeconds?: number;
  /** Whether a second function serves new and corrected credentials within seconds, one account after the other, and takes refused tokens from consumers that you grant it to. By default false. */
  readonly triggers?: boolean;
  /** Whether there is a function for Secrets Manager's own rotation of token secrets, for those who must have it. By default false. */
  readonly rotation?: boolean;
  /** ARN of the KMS key for the token secrets that the function creates. Empty for the AWS managed key, which other AWS accounts cannot read with. */
  readonly tokenSecretKmsKeyArn?: string;
  /** ARN of the KMS key that you encrypt credentials secrets with, so that the function may read them. Empty for the AWS managed key. */
  readonly credentialsKmsKeyArn?: string;
  /** Regions that token secrets are copied to, and credentials never; empty for none. Each copy costs as much as a secret, and is under the AWS managed key there. */
  readonly replicaRegions?: string[];
  /** The processor; the artifact must have been built for the same one. By default arm64. */
  readonly architecture?: "arm64" | "x86_64";
  /** Memory in MB, and with it the processor's share. A sweep of 5,000 accounts needs 60 of it; 512 are processor enough to refresh as fast as a Region lets it write. By default 512. */
  readonly memoryMegabytes?: number;
  /** Accounts refreshed at once. By default 16. */
  readonly maxWorkers?: number;
  /** Whether one concurrent execution is reserved, so that runs do not overlap. With false overlapping runs cost a request, no token; small AWS accounts cannot reserve. By default true. */
  readonly reserveConcurrency?: boolean;
  /** ARN of the permissions boundary of all roles, where your AWS account asks for one. */
  readonly permissionsBoundaryArn?: string;
  /** Tags of each token secret that the function creates, such as team=payments,cost-center=42, where your organisation demands some. Give the same ones to the stack. */
  readonly resourceTags?: Record<string, string>;
  /** Days for which the function's log is kept. By default 30. */
  readonly logRetentionDays?: 1 | 3 | 5 | 7 | 14 | 30 | 60 | 90 | 120 | 150 | 180 | 365 | 400 | 545 | 731 | 1096 | 1827 | 3653;
  /** Whether SecondsUntilExpiry and MarginUsed are also emitted with the dimension account. CloudWatch bills two more metrics for each account. By default false. */
  readonly perAccountMetrics?: boolean;
  /** Whether each change of an account's state is put on the default event bus: a new token, a failure, its end, a consent that is ending, an action that is required. By default false. */
  readonly events?: boolean;
  /** Whether X-Ray traces the function. It lengthens a cold start. By default false. */
  readonly tracing?: boolean;
  /** Subnets that the function runs in; empty for none. They need a way to the token endpoints and to Secrets Manager. */
  readonly vpcSubnetIds?: string[];
  /** Security groups of the function, where it runs in subnets of yours. */
  readonly vpcSecurityGroupIds?: string[];
  /** Proxy that token endpoints are reached through, such as http://proxy.example.com:3128; empty for none. AWS is reached without it. */
  readonly tokenEndpointProxy?: string;
  /** Certificates of authorities that token endpoints are believed by besides the public ones; PEM, or Base64 alone. One or two: all parameters must fit into 4 KB. */
  readonly additionalCaCertificates?: string[];
}

export const TOKEN_REFRESHER: Template = {
  file: "template.yaml",
  parameters: {
    artifactBucket: { name: "ArtifactBucket", pattern: "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fix: "the name of a bucket" },
    artifactPrefix: { name: "ArtifactPrefix", pattern: "([A-Za-z0-9!_.*'()-]+/)*", fix: "a path that ends in a slash, or nothing" },
    secretPrefix: { name: "SecretPrefix", pattern: "(?!(.*/)?(credentials|tokens)(/|$))[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*", fix: "a path such as oauth or team/oauth, without a part named credentials or tokens", maxLength: 100 },
    allowedTokenHosts: { name: "AllowedTokenHosts", pattern: "((\\*|(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?)( *, *(\\*|(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?))*)?", fix: "hosts such as login.example.com, *.example.com or *, or nothing", maxLength: 2000 },
    refreshTokens: { name: "RefreshTokens", values: ["use", "ignore"] },
    signing: { name: "Signing" },
    webIdentityAudiences: { name: "WebIdentityAudiences", pattern: "([A-Za-z0-9:/._~@%+=&?#-]+(,[A-Za-z0-9:/._~@%+=&?#-]+)*)?", fix: "audiences such as api://AzureADTokenExchange, or nothing", maxLength: 400 },
    scheduleMinutes: { name: "ScheduleMinutes", values: [1, 5, 10, 15] },
    refreshBeforeSeconds: { name: "RefreshBeforeSeconds", minValue: 1800, maxValue: 604800 },
    triggers: { name: "Triggers" },
    rotation: { name: "Rotation" },
    tokenSecretKmsKeyArn: { name: "TokenSecretKmsKeyArn", pattern: "(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?", fix: "the ARN of a key (not of an alias), or nothing" },
    credentialsKmsKeyArn: { name: "CredentialsKmsKeyArn", pattern: "(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?", fix: "the ARN of a key (not of an alias), or nothing" },
    replicaRegions: { name: "ReplicaRegions", pattern: "([a-z]{2,}(-[a-z]+)+-[0-9]+(,[a-z]{2,}(-[a-z]+)+-[0-9]+)*)?", fix: "Regions such as eu-central-1, or nothing", maxLength: 100 },
    architecture: { name: "Architecture", values: ["arm64", "x86_64"] },
    memoryMegabytes: { name: "MemoryMegabytes", minValue: 256, maxValue: 3008 },
    maxWorkers: { name: "MaxWorkers", minValue: 1, maxValue: 64 },
    reserveConcurrency: { name: "ReserveConcurrency" },
    permissionsBoundaryArn: { name: "PermissionsBoundaryArn", pattern: "(arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+)?", fix: "the ARN of a managed policy, or nothing" },
    resourceTags: { name: "ResourceTags", pattern: "((?!token-refresher:)(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,128}(?<! )=(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,256}(?<! )(,(?!token-refresher:)(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,128}(?<! )=(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,256}(?<! )){0,7})?", fix: "up to eight tags such as team=payments,cost-center=42, each key once, without a comma or = in them, or nothing", maxLength: 500 },
    logRetentionDays: { name: "LogRetentionDays", values: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653] },
    perAccountMetrics: { name: "PerAccountMetrics" },
    events: { name: "Events" },
    tracing: { name: "Tracing" },
    vpcSubnetIds: { name: "VpcSubnetIds", pattern: "(subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*)?", fix: "ids such as subnet-0a1b2c3d, or nothing" },
    vpcSecurityGroupIds: { name: "VpcSecurityGroupIds", pattern: "(sg-[0-9a-f]+(,sg-[0-9a-f]+)*)?", fix: "ids such as sg-0a1b2c3d, or nothing" },
    tokenEndpointProxy: { name: "TokenEndpointProxy", pattern: "(http://[A-Za-z0-9.-]+:[0-9]{1,5})?", fix: "http://, a host, a colon and a port, such as http://proxy.example.com:3128; no https://, user, password or path; or nothing", maxLength: 300 },
    additionalCaCertificates: { name: "AdditionalCaCertificates", pattern: "[A-Za-z0-9+/=,\\\\\\s-]*", fix: "certificates in PEM, or in Base64 alone; 3,000 characters", maxLength: 3000 },
  },
};

export abstract class TokenRefresherOutputs extends Construct {
  protected abstract output(name: string, onlyWith?: string): string;

  /** The function's name. */
  public get functionName(): string {
    return this.output("FunctionName");
  }

  /** Deploy the alarms and the dashboard, which are a second stack. */
  public get deployAlarms(): string {
    return this.output("DeployAlarms");
  }

  /** Onboard an account, asking for what it needs. */
  public get onboardAccount(): string {
    return this.output("OnboardAccount");
  }

  /** The same without token-refresher, of credentials that are in dealer-17.json. */
  public get onboardWithoutIt(): string {
    return this.output("OnboardWithoutIt");
  }

  /** Read the account's token. */
  public get readToken(): string {
    return this.output("ReadToken");
  }

  /** See what the next sweep would do; nothing is changed. */
  public get seeWhatIsDue(): string {
    return this.output("SeeWhatIsDue");
  }

  /** What consumers may be granted to invoke, to hand in a token that was refused. Only with triggers. */
  public get triggerFunctionArn(): string {
    return this.output("TriggerFunctionArn", "triggers");
  }

  /** Rotate an account's token at once, and on the first day of each month. Only with rotation. */
  public get rotateToken(): string {
    return this.output("RotateToken", "rotation");
  }

  /** Where changes of accounts are events; docs/events.md says how to see the first. Only with events. */
  public get eventBus(): string {
    return this.output("EventBus", "events");
  }

  /** Follow the log as it is written, by AWS CLI 2. */
  public get followLog(): string {
    return this.output("FollowLog");
  }

  /** See an invocation that failed, or was never made. */
  public get seeFailedEvents(): string {
    return this.output("SeeFailedEvents");
  }
}

export interface TokenRefresherMonitoringProps {
  /** The stack of template.yaml; its function, log and metrics have the same name. */
  readonly functionStackName: string;
  /** The ScheduleMinutes of that stack. By default 5. */
  readonly scheduleMinutes?: 1 | 5 | 10 | 15;
  /** Address that is written to when an alarm goes off and when it is over. AWS asks it to confirm first. Empty for none. */
  readonly alarmEmail?: string;
  /** ARN of an SNS topic of yours, in this Region, that alarms go to. CloudWatch cannot publish to one under the key alias/aws/sns. Empty for a topic of this stack. */
  readonly alarmTopicArn?: string;
}

export const TOKEN_REFRESHER_MONITORING: Template = {
  file: "monitoring.yaml",
  parameters: {
    functionStackName: { name: "FunctionStackName", pattern: "[A-Za-z][A-Za-z0-9-]*", fix: "the name of a stack", maxLength: 64 },
    scheduleMinutes: { name: "ScheduleMinutes", values: [1, 5, 10, 15] },
    alarmEmail: { name: "AlarmEmail", pattern: "([^@ ]+@[^@ ]+)?", fix: "one address, or nothing" },
    alarmTopicArn: { name: "AlarmTopicArn", pattern: "(arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?", fix: "the ARN of a topic, or nothing" },
  },
};

export abstract class TokenRefresherMonitoringOutputs extends Construct {
  protected abstract output(name: string, onlyWith?: string): string;

  /** The dashboard. */
  public get dashboardUrl(): string {
    return this.output("DashboardUrl");
  }

  /** Where alarms go; subscribe whatever shall hear of them. */
  public get alarmTopicArn(): string {
    return this.output("AlarmTopicArn");
  }
}

import * as path from "node:path";

import { CfnStack, Fn, Stack, Token, Tokenization } from "aws-cdk-lib";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";

import {
  Parameter,
  TOKEN_REFRESHER,
  TOKEN_REFRESHER_MONITORING,
  Template,
  TokenRefresherMonitoringOutputs,
  TokenRefresherMonitoringProps,
  TokenRefresherOutputs,
  TokenRefresherProps,
} from "./templates";

export { TokenRefresherMonitoringProps, TokenRefresherProps };

/** Lambda's limit. The function is named after its stack. */
const LONGEST_FUNCTION_NAME = 64;
/** What CloudFormation appends to the name of a nested stack, with a hyphen before it. */
const OWN_OF_A_NESTED_STACK = 14;

/** The function, its schedule, its log and its permissions: one nested stack of the release's template. */
export class TokenRefresher extends TokenRefresherOutputs {
  private readonly stack: CfnStack;

  public constructor(
    scope: Construct,
    id: string,
    private readonly props: TokenRefresherProps,
  ) {
    super(scope, id);
    this.stack = nestedStack(this, TOKEN_REFRESHER, props);
    // What the function creates and what the stack creates are tagged alike.
    for (const [key, value] of Object.entries(props.resourceTags ?? {})) {
      this.stack.tags.setTag(key, value);
    }
    this.node.addValidation({ validate: () => this.tooLong() });
  }

  protected override output(name: string, onlyWith?: keyof TokenRefresherProps): string {
    if (onlyWith !== undefined && this.props[onlyWith] !== true) {
      throw new Error(`${this.node.path}: ${name} is there with ${onlyWith}: true only.`);
    }
    return this.stack.getAtt(`Outputs.${name}`).toString();
  }

  /** CloudFormation would find it out when half of the stack is there. */
  private tooLong(): string[] {
    const { stackName } = Stack.of(this);
    if (Token.isUnresolved(stackName)) {
      return [];
    }
    const ending = this.props.triggers ? "-triggers" : this.props.rotation ? "-rotation" : "";
    const own = `-${Stack.of(this).resolve(this.stack.logicalId)}`.length + OWN_OF_A_NESTED_STACK;
    const room = LONGEST_FUNCTION_NAME - ending.length - own;
    return stackName.length <= room
      ? []
      : [
          `${this.node.path}: the function would have a name of more than ${LONGEST_FUNCTION_NAME} ` +
            `characters. Give the construct a shorter id, or the stack a stackName of at most ${room}.`,
        ];
  }
}

/** Its alarms and its dashboard: another nested stack. */
export class TokenRefresherMonitoring extends TokenRefresherMonitoringOutputs {
  private readonly stack: CfnStack;

  public constructor(scope: Construct, id: string, props: TokenRefresherMonitoringProps) {
    super(scope, id);
    this.stack = nestedStack(this, TOKEN_REFRESHER_MONITORING, props);
  }

  protected override output(name: string): string {
    return this.stack.getAtt(`Outputs.${name}`).toString();
  }
}

function nestedStack(scope: Construct, template: Template, props: object): CfnStack {
  const asset = new Asset(scope, "Template", { path: path.join(__dirname, "..", template.file) });
  return new CfnStack(scope, "Resource", {
    templateUrl: asset.httpUrl,
    parameters: parametersOf(scope.node.path, template, props),
  });
}

/** What is not given keeps the template's default. */
function parametersOf(where: string, template: Template, props: object): Record<string, string> {
  const given = Object.entries(props).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([prop, value]) => {
      const parameter = template.parameters[prop];
      if (parameter === undefined) {
        throw new Error(`${where}: there is no prop ${prop}.`);
      }
      const text = textOf(value);
      const demand = Token.isUnresolved(text) ? undefined : unmet(parameter, text, value);
      if (demand !== undefined) {
        throw new Error(`${where}: ${prop} must ${demand}; it is ${JSON.stringify(value)}.`);
      }
      return [parameter.name, text];
    }),
  );
}

/** Several values are one text in CloudFormation. */
function textOf(value: unknown): string {
  if (typeof value === "number") {
    return Tokenization.stringifyNumber(value);
  }
  if (Array.isArray(value)) {
    return Token.isUnresolved(value) ? Fn.join(",", value) : value.join(",");
  }
  if (typeof value === "object" && value !== null && !Token.isUnresolved(value)) {
    const pairs = Object.entries(value).map(([name, each]) => `${name}=${each}`);
    return pairs.sort().join(",");
  }
  return String(value);
}

/** Name what CloudFormation would refuse at the deployment. */
function unmet(parameter: Parameter, text: string, value: unknown): string | undefined {
  const { pattern, fix, maxLength, minValue, maxValue, values } = parameter;
  if (values !== undefined && !values.map(String).includes(text)) {
    return `be one of ${values.join(", ")}`;
  }
  if (pattern !== undefined && (isMisread(value) || !new RegExp(`^(?:${pattern})$`).test(text))) {
    return `be ${fix}`;
  }
  if (maxLength !== undefined && text.length > maxLength) {
    return `have at most ${maxLength} characters`;
  }
  if (minValue !== undefined && maxValue !== undefined) {
    const number = Number(text);
    if (!(Number.isInteger(number) && number >= minValue && number <= maxValue)) {
      return `be a whole number from ${minValue} to ${maxValue}`;
    }
  }
  return undefined;
}

/** A pair with a comma or an equals sign in it would be two pairs, or another one. */
function isMisread(value: unknown): boolean {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  return isMap && Object.entries(value).flat().some((each) => /[,=]/.test(each));
}

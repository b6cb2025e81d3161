import { App, CfnOutput, Stack } from "aws-cdk-lib";

import { TokenRefresher, TokenRefresherMonitoring } from "token-refresher-cdk";

const app = new App();
const stack = new Stack(app, "Tokens");

const refresher = new TokenRefresher(stack, "Refresher", {
  // With the release's .zip files, at releases/token-refresher-….zip.
  artifactBucket: "my-artifacts",
  artifactPrefix: "releases/",
  allowedTokenHosts: ["login.example.com"],
  triggers: true,
});

new TokenRefresherMonitoring(stack, "Monitoring", {
  functionStackName: refresher.functionName,
  alarmEmail: "ops@example.com",
});

new CfnOutput(stack, "OnboardAccount", { value: refresher.onboardAccount });
// What consumers may be granted to invoke.
new CfnOutput(stack, "TriggerFunctionArn", { value: refresher.triggerFunctionArn });

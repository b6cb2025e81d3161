"""A Lambda function that reads one published token by the extension, wired with the AWS CDK."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda, aws_secretsmanager

TOKEN_SECRET = "oauth/tokens/dealer-17"  # noqa: S105 - a name
HERE = Path(__file__).parent


class Adverts(cdk.Stack):
    def __init__(self, scope: cdk.App, name: str) -> None:
        super().__init__(scope, name)
        extension = aws_lambda.ParamsAndSecretsLayerVersion.from_version(
            aws_lambda.ParamsAndSecretsVersions.V1_0_103,
            secrets_manager_ttl=cdk.Duration.seconds(300),
        )
        function = aws_lambda.Function(
            self,
            "Function",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.ARM_64,
            code=aws_lambda.Code.from_inline((HERE / "lambda_extension.py").read_text()),
            handler="index.handler",
            environment={
                "TOKEN_SECRET": TOKEN_SECRET,
                "API_URL": "https://api.example.com/adverts",
            },
            params_and_secrets=extension,
            timeout=cdk.Duration.seconds(30),
        )
        # By its name: the secret is the refresher's, and a dynamic reference would be resolved
        # once, when the stack is deployed.
        token = aws_secretsmanager.Secret.from_secret_name_v2(self, "Token", TOKEN_SECRET)
        token.grant_read(function)


app = cdk.App()
Adverts(app, "Adverts")
app.synth()

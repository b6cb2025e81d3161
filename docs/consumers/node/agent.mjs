// Calls an API with the published token, which the AWS Secrets Manager Agent keeps for five
// minutes. It needs nothing but Node. In Lambda the agent's token is AWS_SESSION_TOKEN.
import { readFile } from "node:fs/promises";

const { TOKEN_SECRET, API_URL, AGENT_PORT = "2773" } = process.env;
const { AGENT_TOKEN_FILE = "/var/run/awssmatoken" } = process.env;

async function readToken(more = {}) {
  const query = new URLSearchParams({ secretId: TOKEN_SECRET, ...more });
  const agentToken = (await readFile(AGENT_TOKEN_FILE, "utf8")).trim();
  const answer = await fetch(`http://localhost:${AGENT_PORT}/secretsmanager/get?${query}`, {
    headers: { "X-Aws-Parameters-Secrets-Token": agentToken },
  });
  if (!answer.ok) throw new Error(`the agent answered ${answer.status}`);
  return JSON.parse((await answer.json()).SecretString);
}

function send(token) {
  return fetch(API_URL, {
    headers: { Authorization: `${token.token_type} ${token.access_token}` },
    signal: AbortSignal.timeout(10_000),
  });
}

async function callApi() {
  const token = await readToken();
  let answer = await send(token);
  if (answer.status === 401) {
    console.log("the token was refused; reading it again");
    const newer = await readToken({ refreshNow: "true" });
    if (newer.access_token === token.access_token) {
      throw new Error("it was refused, and there is no newer one");
    }
    answer = await send(newer);
  }
  return `${answer.status}, ${(await answer.arrayBuffer()).byteLength} bytes`;
}

for (const number of [1, 2]) console.log(`call ${number}: ${await callApi()}`);

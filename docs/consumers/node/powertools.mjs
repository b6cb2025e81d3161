// Calls an API with the published token, which Powertools for AWS Lambda keeps for five minutes.
import { getSecret } from "@aws-lambda-powertools/parameters/secrets";

const { TOKEN_SECRET, API_URL } = process.env;

function readToken(more = {}) {
  return getSecret(TOKEN_SECRET, { transform: "json", maxAge: 300, ...more });
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
    const newer = await readToken({ forceFetch: true });
    if (newer.access_token === token.access_token) {
      throw new Error("it was refused, and there is no newer one");
    }
    answer = await send(newer);
  }
  return `${answer.status}, ${(await answer.arrayBuffer()).byteLength} bytes`;
}

for (const number of [1, 2]) console.log(`call ${number}: ${await callApi()}`);

// The npm package oidc-provider as an authorization server, but for its clock: each request brings
// the time along. Run with: the directory of the packages, a client secret, a lifetime in seconds.

import { once } from "node:events";
import { createServer } from "node:http";

const [packages, secret, lifetime] = process.argv.slice(2);
const { Provider } = await import(`${packages}/oidc-provider/lib/index.js`);

let now = Date.now();
Date.now = () => now;

const REDIRECT = "https://client.example/";
const DAY = 24 * 3600;
const provider = new Provider("https://issuer.example", {
  clients: [
    {
      client_id: "person",
      client_secret: secret,
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [REDIRECT],
    },
    {
      client_id: "machine",
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
  },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  pkce: { required: () => false },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(lifetime),
    ClientCredentials: Number(lifetime),
    Grant: 30 * DAY,
    RefreshToken: 30 * DAY,
  },
});

// What a person's consent ends with: a code, which the client redeems.
async function consent() {
  const client = await provider.Client.find("person");
  const about = { accountId: "dealer", clientId: client.clientId };
  const scope = "openid offline_access";
  const grant = new provider.Grant(about);
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const code = { accountId: about.accountId, client, grantId, redirectUri: REDIRECT, scope };
  return new provider.AuthorizationCode({ ...code, gty: "authorization_code" }).save();
}

const respond = provider.callback();
const server = createServer(async (request, response) => {
  now = Number(request.headers["x-now"]) * 1000;
  if (request.url !== "/consent") return respond(request, response);
  response.end(JSON.stringify({ code: await consent(), redirect_uri: REDIRECT }));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(server.address().port);

// Whoever started it is gone: so is this.
process.stdin.on("end", () => process.exit()).resume();

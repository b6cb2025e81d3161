// The npm package oidc-provider as an authorization server, but for its clock: each request brings
// the time along. Run with: the directory of the packages, a client secret, a lifetime in seconds,
// and further clients as JSON.

import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const [packages, secret, lifetime, clients] = process.argv.slice(2);
const { Provider } = await import(`${packages}/oidc-provider/lib/index.js`);

let now = Date.now();
Date.now = () => now;

const REDIRECT = "https://client.example/";
const DAY = 24 * 3600;
// What stands before it has verified a client's certificate, and passes it on.
const certificateOf = (context) => context.get("x-client-certificate");
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
    ...JSON.parse(clients),
  ],
  clientAuthMethods: [
    "client_secret_basic",
    "client_secret_jwt",
    "private_key_jwt",
    "self_signed_tls_client_auth",
    "tls_client_auth",
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    mTLS: {
      enabled: true,
      certificateAuthorized: (context) => certificateOf(context) !== "",
      certificateSubjectMatches: (context, property, expected) =>
        property === "tls_client_auth_subject_dn" &&
        new X509Certificate(Buffer.from(certificateOf(context), "base64")).subject
          .split("\n")
          .includes(expected),
      getCertificate: certificateOf,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
    },
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

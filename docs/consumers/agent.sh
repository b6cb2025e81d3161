#!/usr/bin/env bash
# Calls an API with the published token, which the AWS Secrets Manager Agent keeps for five minutes.
# Headers come from standard input, so that no token is among a process's arguments.
set -euo pipefail

agent="http://localhost:${AGENT_PORT:-2773}/secretsmanager/get"
agent_token_file="${AGENT_TOKEN_FILE:-/var/run/awssmatoken}"

read_token() { # read_token [refreshNow=true]
  printf 'X-Aws-Parameters-Secrets-Token: %s\n' "$(<"$agent_token_file")" |
    curl --silent --show-error --fail --header @- --get --data-urlencode "secretId=$TOKEN_SECRET" \
      ${1:+--data "$1"} "$agent" | jq --raw-output .SecretString
}

send() { # send TOKEN: prints the status, and how much came
  jq --raw-output '"Authorization: \(.token_type) \(.access_token)"' <<<"$1" |
    curl --silent --show-error --max-time 10 --header @- --output /dev/null \
      --write-out '%{http_code}, %{size_download} bytes' "$API_URL"
}

call_api() {
  local token newer answer
  token=$(read_token)
  answer=$(send "$token")
  if [[ $answer == 401,* ]]; then
    echo "the token was refused; reading it again"
    newer=$(read_token refreshNow=true)
    if [[ $newer == "$token" ]]; then
      echo "it was refused, and there is no newer one" >&2
      exit 1
    fi
    answer=$(send "$newer")
  fi
  echo "call $1: $answer"
}

call_api 1
call_api 2

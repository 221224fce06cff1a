# curl against a running service: sh curl.sh PORT
set -u

address=http://127.0.0.1:$1
bearer='Authorization: Bearer KEY'
json='Content-Type: application/json'
body='{"model":"mixedbread-ai/mxbai-embed-large-v1","input":"hi"}'
failures=0

expect() { # STATUS, what it is about, arguments of curl
    expected=$1 about=$2
    shift 2
    found=$(curl -s -o /dev/null -w '%{http_code}' "$@")
    [ "$found" = "$expected" ] && return
    echo "FAIL $about: $found instead of $expected"
    failures=1
}

expect 200 'a plain call' -H "$bearer" -H "$json" -d "$body" "$address/v1/embeddings"
expect 200 'a trailing slash, the type of a form' -H "$bearer" -d "$body" "$address/v1/embeddings/"
expect 200 'a bare key, no /v1' -H 'Authorization: KEY' -H "$json" -d "$body" "$address/embeddings"
expect 401 'no key' -H "$json" -d "$body" "$address/v1/embeddings"
expect 400 'broken JSON' -H "$bearer" -H "$json" -d '{' "$address/v1/embeddings"
expect 422 'no input' -H "$bearer" -H "$json" -d '{"model":"m"}' "$address/v1/embeddings"
expect 405 'GET' -H "$bearer" "$address/v1/embeddings"
expect 200 'health' "$address/health"

curl -s "$address/nope" | python3 -c '
import json, sys
body = json.load(sys.stdin)
assert body["message"] and body["error"]["message"]
' || { echo 'FAIL an unknown route: no JSON of the contract'; failures=1; }

[ "$failures" = 0 ] && echo ok curl

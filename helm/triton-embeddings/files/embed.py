"""`helm test`: the service is ready, and answers a real call, or refuses one that has no key."""

import json
import math
import os
import sys
import urllib.error
import urllib.request

OPERATIONS = os.environ["OPERATIONS"]
CALLS = os.environ.get("CALLS", "")
KEY = os.environ.get("API_KEY", "").strip()


def ask(url, body=None):
    """Status and JSON of the answer."""
    headers = {"content-type": "application/json"}
    if KEY:
        headers["authorization"] = f"Bearer {KEY}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(holds, what):
    print("ok" if holds else "FAILED", what)
    if not holds:
        sys.exit(1)


check(ask(f"{OPERATIONS}/health/ready")[0] == 200, "the gateway is ready")
if not CALLS:
    print("the gateway speaks TLS: calls are not tested")
elif not KEY and os.environ["AUTH"] == "required":
    call = {"model": "any", "input": "a text"}
    check(ask(f"{CALLS}/v1/embeddings", call)[0] == 401, "a call without a key is refused")
else:
    status, models = ask(f"{CALLS}/v1/models")
    check(status == 200 and models["data"], "models are listed")
    for model in models["data"]:
        call = {"model": model["id"], "input": "a text", "normalized": True}
        status, answer = ask(f"{CALLS}/v1/embeddings", call)
        check(status == 200, f"{model['id']} embeds a text: {status}")
        vector = answer["data"][0]["embedding"]
        check(len(vector) == answer["dimensions"], f"{len(vector)} dimensions")
        check(abs(math.hypot(*vector) - 1) < 0.001, "length 1")

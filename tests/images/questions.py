"""Programs that ask within a container; each prints JSON."""

# Folders that its user can write into, found by trying.
WRITABLE = """
import json, os, tempfile
found = []
for folder, folders, _ in os.walk("/"):
    if folder in ("/proc", "/sys"):
        folders.clear()
        continue
    try:
        with tempfile.TemporaryFile(dir=folder):
            found.append(folder)
    except OSError:
        continue
    folders.clear()  # what lies in it belongs to it
print(json.dumps(sorted(found)))
"""

# Packets and connections that were to leave and found no way, names that were looked up included.
TURNED_AWAY = """
import json
lines = [line.split() for line in open("/proc/net/snmp") if line.startswith("Ip:")]
of_6 = dict(line.split() for line in open("/proc/net/snmp6"))
print(int(dict(zip(*lines))["OutNoRoutes"]) + int(of_6["Ip6OutNoRoutes"]))
"""

# Shared libraries that any process of the container has loaded.
LOADED = """
import json, pathlib
found = set()
for maps in pathlib.Path("/proc").glob("[0-9]*/maps"):
    try:
        found |= {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
    except OSError:
        pass
print(json.dumps(sorted(found)))
"""

# The status of an answer, and its vectors.
EMBED = """
import http.client, json, os
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=120)
headers = {"authorization": "Bearer " + os.environ["API_KEY"], "content-type": "application/json"}
connection.request("GET", "/v1/models", headers=headers)
model = json.load(connection.getresponse())["data"][0]["id"]
call = {"model": model, "input": json.loads(os.environ["TEXTS"])}
connection.request("POST", "/v1/embeddings", json.dumps(call), headers)
answer = connection.getresponse()
body = json.load(answer)
vectors = [one["embedding"] for one in body.get("data", [])]
print(json.dumps({"status": answer.status, "vectors": vectors}))
"""

READY = (
    "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', {port}, timeout=5);"
    " c.request('GET', '{path}'); sys.exit(c.getresponse().status != 200)"
)

# A name of a host that does not answer: one attempt, at least, is turned away.
LOOK_UP = "import socket; socket.getaddrinfo('collector.example.org', 443)"

# Calls that the gateway has and has not answered.
IN_FLIGHT = """
import http.client
connection = http.client.HTTPConnection("127.0.0.1", 9090, timeout=5)
connection.request("GET", "/metrics")
lines = connection.getresponse().read().decode().splitlines()
told = [line for line in lines if line.startswith("gateway_in_flight_requests")]
print(int(sum(float(line.split()[-1]) for line in told)))
"""

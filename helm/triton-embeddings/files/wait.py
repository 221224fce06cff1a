"""Waits for an export, which is there as a whole or not at all, and says what it waits for."""

import glob
import signal
import sys
import time

folder, seconds = sys.argv[1:]
manifest, end = f"{folder}/*/manifest.json", time.monotonic() + float(seconds)
log = "kubectl logs --selector app.kubernetes.io/component=export"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the first process of a pod ignores it

for turn in range(sys.maxsize):
    if glob.glob(manifest):
        print(f"{folder} is there")
        break
    if time.monotonic() > end:
        sys.exit(f"gave up after {seconds} s without {manifest}: {log} says why")
    if turn % 60 == 0:
        print(f"waiting for {manifest}: {log} says how far it is", flush=True)
    time.sleep(1)

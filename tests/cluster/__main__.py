"""Proves on a real control plane what no schema can: `python -m tests.cluster`.

Words choose the proofs whose titles have them all: `python -m tests.cluster drain`.
"""

import signal
import sys
from collections.abc import Callable
from functools import partial

from tests.cluster import older
from tests.cluster.build import VERSION
from tests.cluster.cluster import Cluster, cluster
from tests.cluster.proofs_of_changes import (
    prove_autoscaling,
    prove_broken_image,
    prove_export,
    prove_keys,
)
from tests.cluster.proofs_of_neighbours import prove_neighbours, prove_own_users, prove_subchart
from tests.cluster.proofs_of_nodes import prove_drain, prove_missing_claim, prove_rollout
from tests.cluster.proofs_of_refusals import prove_refusals
from tests.cluster.proofs_of_releases import prove_life
from tests.cluster.transcript import Transcript
from tests.helm.tools.engines import HELMS

PROOFS: dict[str, Callable[[Cluster], None]] = {
    **{f"A release by {helm}": partial(prove_life, version=helm) for helm in HELMS},
    "A rollout where every GPU is taken": prove_rollout,
    "A drain": prove_drain,
    "A claim that is not there": prove_missing_claim,
    "Images that cannot be pulled": prove_broken_image,
    "Autoscaling": prove_autoscaling,
    "Keys": prove_keys,
    "An export in the cluster": prove_export,
    "Neighbours": prove_neighbours,
    "Below another chart": prove_subchart,
    "Users that the cluster chooses": prove_own_users,
    "Mistakes": prove_refusals,
}


def main() -> None:
    # Whoever ends this ends what it has started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = sys.argv[1:]
    chosen = {title: prove for title, prove in PROOFS.items() if all(w in title for w in words)}
    if not chosen:
        sys.exit(f"no proof has {' '.join(words)} in its title, but there are: {', '.join(PROOFS)}")
    transcript = Transcript()
    with transcript.proof(f"Kubernetes {VERSION}; what the chart does without on it:"):
        for rule in older.RULES:
            transcript.note(rule)
    with cluster(transcript) as running:
        for title, prove in chosen.items():
            with transcript.proof(title):
                prove(running)
    with transcript.proof(f"{transcript.proved} facts hold, {len(transcript.failed)} do not"):
        sys.exit(bool(transcript.failed))


if __name__ == "__main__":
    main()

"""Proves on a real control plane what no schema can: `python -m tests.cluster`."""

import sys
from collections.abc import Callable
from functools import partial

from tests.cluster import older
from tests.cluster.build import VERSION
from tests.cluster.cluster import Cluster, cluster
from tests.cluster.proofs_of_releases import prove_life
from tests.cluster.transcript import REFUTED, Transcript
from tests.helm.tools.engines import HELMS

PROOFS: dict[str, Callable[[Cluster], None]] = {
    **{f"a release by {helm}": partial(prove_life, version=helm) for helm in HELMS},
}


def main() -> None:
    transcript = Transcript()
    transcript.title(f"Kubernetes {VERSION}; of the chart is changed for it:")
    for rule in older.RULES:
        transcript.note(rule)
    with cluster(transcript) as running:
        for name, prove in PROOFS.items():
            transcript.title(name)
            try:
                prove(running)
            except REFUTED:  # is told; what follows of this proof builds on it
                continue
    transcript.title(f"{transcript.proved} facts hold, {len(transcript.failed)} do not")
    sys.exit(bool(transcript.failed))


if __name__ == "__main__":
    main()

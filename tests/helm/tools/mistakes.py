"""Mistakes in manifests, and which tool refuses each."""

from pathlib import Path

from tests.helm.broken.manifests import MUTANTS, Mutant
from tests.helm.chart import Manifest, render
from tests.helm.faults import faults
from tests.helm.faults.pods import security_faults
from tests.helm.faults.schemas import schema_faults
from tests.helm.tools.models import model_findings
from tests.helm.tools.policy import by_digest, policy_findings
from tests.helm.tools.report import Checked
from tests.helm.variants import VARIANTS


def manifests_with_mistakes(site: Path) -> Checked:
    """Each is refused by at least one; prints by whom."""
    sets = [mutant.made_in(_whole(mutant)) for mutant in MUTANTS]
    changed = [
        [one for one in manifests if one not in _whole(mutant)]
        for mutant, manifests in zip(MUTANTS, sets, strict=True)
    ]
    policy, _ = policy_findings(site, changed)
    found = {
        "schema": [list(schema_faults(one, "1.37")) for one in sets],
        "model": model_findings(site, changed),
        "restricted": [list(security_faults(one)) for one in sets],
        "faults": [list(faults(one)) for one in sets],
        "checkov": policy,
    }
    print(f"\n{'a mistake in a manifest':58} is refused by")
    missed = []
    for number, mutant in enumerate(MUTANTS):
        by = [tool for tool, sentences in found.items() if sentences[number]]
        print(f"{mutant.what:58} {', '.join(by) or 'NOBODY'}")
        missed += [] if by else [mutant.what]
    counts = [f"{tool} {sum(map(bool, sentences))}" for tool, sentences in found.items()]
    return Checked("mistakes in manifests", f"{len(MUTANTS)}: {', '.join(counts)}", tuple(missed))


def _whole(mutant: Mutant) -> list[Manifest]:
    """What the mistake is made in; checkov wants images by digest."""
    return render(by_digest(VARIANTS[mutant.variant]))

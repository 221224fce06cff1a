"""Mistakes in values and in manifests, and what refuses each."""

from pathlib import Path

from tests.helm.broken.manifests import MUTANTS, Mutant
from tests.helm.broken.values import MISTAKES, Mistake
from tests.helm.chart import Manifest, render
from tests.helm.faults import faults
from tests.helm.faults.pods import security_faults
from tests.helm.faults.schemas import schema_faults
from tests.helm.tools.engines import HELMS, KUBERNETES, on_all_cores, template
from tests.helm.tools.models import model_findings
from tests.helm.tools.policy import by_digest, policy_findings
from tests.helm.tools.report import Checked
from tests.helm.variants import VARIANTS


def values_with_mistakes(site: Path) -> Checked:
    """Both Helms refuse each by its place: `/a/b`, or `a.b` in the words of the older one."""

    def refused_by(case: tuple[Mistake, str]) -> str:
        mistake, helm = case
        manifests, said = template(site, helm, mistake.values, KUBERNETES[-1])
        if manifests is not None:
            return "NOBODY"
        if not any(one in said for one in (mistake.says, mistake.says[1:].replace("/", "."))):
            return f"ELSEWHERE: {said}"
        return "a sentence" if "execution error" in said else "the schema"

    found = on_all_cores(refused_by, [(one, helm) for one in MISTAKES for helm in HELMS])
    by = [set(found[start : start + len(HELMS)]) for start in range(0, len(found), len(HELMS))]
    print(f"\n{'a mistake in values':58} is refused by")
    for mistake, answers in zip(MISTAKES, by, strict=True):
        print(f"{mistake.what:58} {', '.join(sorted(answers))}")
    right = {"the schema", "a sentence"}
    counts = [f"{word} {sum(word in one for one in by)}" for word in sorted(right)]
    return Checked(
        "mistakes in values",
        f"{len(MISTAKES)} by both Helms: {', '.join(counts)}",
        tuple(
            f"{mistake.what}: {', '.join(answers)}"
            for mistake, answers in zip(MISTAKES, by, strict=True)
            if not answers <= right
        ),
    )


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

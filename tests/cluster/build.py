"""Builds Kubernetes 1.20.2 from Debian's source package: `python -m tests.cluster.build`.

It is the newest whole Kubernetes that a package manager has: three minutes on two cores, once.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PARTS = Path(__file__).parents[2] / "build" / "cluster"
BINARIES = PARTS / "bin"
VERSION = "v1.20.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE, SOURCE = "bookworm", "kubernetes"
# The vendored reflect2 does not know the runtime of Go 1.18 and above.
PACKAGES = ("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev")
REFLECT = "github.com/modern-go/reflect2"
OPENAPI = "pkg/generated/openapi"


def build() -> None:
    """Puts the programs into BINARIES; sources and compiled packages do not stay."""
    BINARIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PARTS) as name:
        folder = Path(name)
        download(folder)
        compile_programs(unpack(folder), folder, BINARIES)


def mirror() -> str:
    """The address of a mirror of Debian that this machine has.

    Raises: SystemExit if it has none.
    """
    wanted = ["--format", "$(REPO_URI)", "Label: Debian", "Created-By: Packages"]
    found = _output(["apt-get", "indextargets", *wanted]).split()
    if not found:
        sys.exit("the control plane is built from Debian's packages: on Debian run apt-get update")
    return found[0]


def download(folder: Path) -> None:
    """The source and Go, by an apt that knows this one suite and leaves the machine's own alone."""
    state, cache = folder / "state", folder / "cache"
    for one in (state / "lists" / "partial", cache / "archives" / "partial"):
        one.mkdir(parents=True)
    sources = folder / "sources.list"
    archive = f"[signed-by={KEYRING}] {mirror()} {SUITE} main\n"
    sources.write_text(f"deb {archive}deb-src {archive}")
    settings = folder / "apt.conf"
    settings.write_text(
        f'Dir::Etc::SourceList "{sources}"; Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State "{state}"; Dir::State::status "/var/lib/dpkg/status"; Dir::Cache "{cache}";\n'
        'APT::Sandbox::User "root";\n'
    )
    apt = {**os.environ, "APT_CONFIG": str(settings)}
    _run(["apt-get", "--quiet=2", "update"], folder, apt)
    _run(["apt-get", "--quiet=2", "source", "--download-only", SOURCE], folder, apt)
    _run(["apt-get", "--quiet=2", "download", *PACKAGES], folder, apt)


def unpack(folder: Path) -> Path:
    """The source, where Go without modules looks for it."""
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(package), "installed"], folder)
    root = folder / "gopath" / "src" / "k8s.io"
    root.mkdir(parents=True)
    (archive,) = folder.glob("*.orig.tar.gz")
    _run(["tar", "-xzf", str(archive), "-C", str(root)], folder)
    tree = root / "kubernetes"
    next(root.iterdir()).rename(tree)
    shutil.rmtree(tree / "vendor" / REFLECT)
    shutil.copytree(folder / "installed/usr/share/gocode/src" / REFLECT, tree / "vendor" / REFLECT)
    return tree


def compile_programs(tree: Path, folder: Path, binaries: Path) -> None:
    """Generates what the sources lack, then compiles."""
    go = folder / "installed" / "usr" / "lib" / "go-1.19"
    environment = {
        **os.environ,
        "GOROOT": str(go),
        "GOPATH": str(folder / "gopath"),
        "GOCACHE": str(folder / "compiled"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "PATH": f"{go / 'bin'}:{os.environ['PATH']}",
    }
    generator = folder / "openapi-gen"
    command = ["go", "build", "-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"]
    _run(command, tree, environment)
    _run([str(generator), *openapi_arguments(tree)], tree, environment)
    stamped = f"-X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion={VERSION}"
    commands = [f"./cmd/{name}" for name in PROGRAMS]
    _run(["go", "build", "-ldflags", stamped, "-o", f"{binaries}/", *commands], tree, environment)


def openapi_arguments(tree: Path) -> list[str]:
    """For the generator of the API's own description: every package that asks for it."""
    tag = ["grep", "-rl", "--include=*.go", "+k8s:openapi-gen=", "vendor/k8s.io", "pkg", "staging"]
    found = {str(Path(line).parent) for line in _output(tag, tree).splitlines()}
    # What stands in staging/ is linked into vendor/, by which it is imported.
    packages = {re.sub("^staging/src/", "vendor/", package) for package in found}
    inputs = [
        f"k8s.io/kubernetes/{package}"
        for package in sorted(packages)
        if not re.search("code-generator|sample-apiserver|/testdata", package)
    ]
    header = "hack/boilerplate/boilerplate.generatego.txt"
    arguments = ["-i", ",".join(inputs), "-p", f"k8s.io/kubernetes/{OPENAPI}"]
    return [*arguments, "-O", "zz_generated.openapi", "-h", header, "-r", os.devnull]


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=folder, env=environment, check=True)


def _output(command: Sequence[str], folder: Path | None = None) -> str:
    return subprocess.check_output(command, cwd=folder, text=True)


if __name__ == "__main__":
    missing = [name for name in ("apt-get", "dpkg", "tar", "grep") if not shutil.which(name)]
    if missing:
        sys.exit(f"{', '.join(missing)} missing: the control plane is built on Debian")
    if not all((BINARIES / name).exists() for name in PROGRAMS):
        build()
